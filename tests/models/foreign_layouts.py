"""Files as other programs write them, of random weights, and what they compute, without this package's models."""

from __future__ import annotations

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.models.clip import TINY


def tiny_resnet(seed: int = 0) -> nn.Module:
    """The image encoder of an open_clip CLIP as small as ``clip_tiny``, with batch norms that are not neutral."""
    torch.manual_seed(seed)
    visual = open_clip.CLIP(**TINY).visual.eval()
    for module in visual.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)  # open_clip starts some at 0
    return visual


def neck(length: int, name: str, seed: int = 1) -> dict[str, Tensor]:
    """A batch norm's tensors, its bias frozen at 0."""
    rng = torch.Generator().manual_seed(seed)
    return {
        f"{name}.weight": torch.rand(length, generator=rng) + 0.5,
        f"{name}.bias": torch.zeros(length),
        f"{name}.running_mean": torch.randn(length, generator=rng) * 0.1,
        f"{name}.running_var": torch.rand(length, generator=rng) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def prompts(count: int, before: int, width: int = 128) -> dict[str, Tensor]:
    """``before`` words before the learned ones: 5 for Market-1501 and MSMT17, 6 for DukeMTMC-reID."""
    return {
        "prompt_learner.cls_ctx": torch.zeros(count, 4, width),
        "prompt_learner.token_prefix": torch.zeros(1, before + 1, width),
        "prompt_learner.token_suffix": torch.zeros(1, 77 - before - 5, width),
    }


def text_encoder() -> dict[str, Tensor]:
    """Some of the tensors; there is no table of tokens in the authors' files."""
    names = ("positional_embedding", "text_projection", "ln_final.weight", "transformer.resblocks.0.ln_1.weight")
    return {f"text_encoder.{name}": torch.zeros(2) for name in names}


def authors_file(size: tuple[int, int] = (256, 128), prefix: str = "module.") -> tuple[dict[str, Tensor], nn.Module]:
    """CCAFL as its authors save it, in clip_tiny's size: the tensors, and the encoder with positions of this size."""
    visual = tiny_resnet()
    dim = visual.attnpool.positional_embedding.shape[1]
    rows = 1 + size[0] // 16 * (size[1] // 16)
    rng = torch.Generator().manual_seed(2)
    visual.attnpool.positional_embedding = nn.Parameter(torch.randn(rows, dim, generator=rng) * 0.1)
    state = {f"image_encoder.{name}": tensor.clone() for name, tensor in visual.state_dict().items()}
    state |= neck(dim, "bottleneck") | neck(128, "bottleneck_proj") | {"gap.p": torch.tensor([3.7])}
    state |= prompts(11, 5) | text_encoder()
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}, visual


def clipreid_file(size: tuple[int, int] = (256, 128)) -> tuple[dict[str, Tensor], nn.Module]:
    """CLIP-ReID's CNN as its authors save it: two classifiers, no exponent of a pooling, no ``module.``."""
    state, visual = authors_file(size, prefix="")
    del state["gap.p"]
    dim = len(state["bottleneck.weight"])
    state |= {"classifier.weight": torch.zeros(9, dim), "classifier_proj.weight": torch.zeros(9, 128)}
    return state, visual


def last_map(visual: nn.Module, images: Tensor) -> Tensor:
    """(B, D, H / 16, W / 16): the last stage without its halving."""
    hidden = visual.layer3(visual.layer2(visual.layer1(visual.stem(images))))
    for number, block in enumerate(visual.layer4):
        out = F.relu(block.bn1(block.conv1(hidden)))
        out = F.relu(block.bn2(block.conv2(out)))
        out = block.bn3(block.conv3(out))
        if number == 0:
            convolution, norm = block.downsample[-2], block.downsample[-1]
            hidden = norm(convolution(hidden))
        hidden = F.relu(out + hidden)
    return hidden


def attention_pooled(pooling: nn.Module, maps: Tensor) -> Tensor:
    """(B, E): attention from the mean to all positions, with torch's own function."""
    tokens = maps.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pooling.positional_embedding[:, None]
    pooled, _ = F.multi_head_attention_forward(
        query=tokens[:1], key=tokens, value=tokens,
        embed_dim_to_check=tokens.shape[-1], num_heads=pooling.num_heads,
        q_proj_weight=pooling.q_proj.weight, k_proj_weight=pooling.k_proj.weight, v_proj_weight=pooling.v_proj.weight,
        in_proj_weight=None, in_proj_bias=torch.cat([pooling.q_proj.bias, pooling.k_proj.bias, pooling.v_proj.bias]),
        bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
        out_proj_weight=pooling.c_proj.weight, out_proj_bias=pooling.c_proj.bias,
        use_separate_proj_weight=True, training=False, need_weights=False,
    )  # fmt: skip
    return pooled[0]


@torch.no_grad()
def authors_feature(visual: nn.Module, state: dict[str, Tensor], images: Tensor) -> Tensor:
    """GeM, batch norm, length 1."""
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    power = state["gap.p"].item()
    pooled = last_map(visual, images).clamp(min=1e-6).pow(power).mean(dim=(2, 3)).pow(1 / power)
    standard = (pooled - state["bottleneck.running_mean"]) / (state["bottleneck.running_var"] + 1e-5).sqrt()
    return F.normalize(standard * state["bottleneck.weight"], dim=1)


@torch.no_grad()
def clipreid_feature(visual: nn.Module, images: Tensor) -> Tensor:
    """Means over the map, and behind them the pooled embedding, before their necks; length 1."""
    maps = last_map(visual, images)
    return F.normalize(torch.cat([maps.mean(dim=(2, 3)), attention_pooled(visual.attnpool, maps)], dim=1), dim=1)
