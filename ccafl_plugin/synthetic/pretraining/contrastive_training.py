"""CLIP's contrastive training of ``clip_tiny`` on pictures of persons and captions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.models.clip import ClipReID
from ccafl_plugin.models.prompts import TextEncoder
from ccafl_plugin.optim import half_cosine
from ccafl_plugin.synthetic.pretraining.captions import draw_caption, vocabulary
from ccafl_plugin.synthetic.pretraining.image_text_pairs import Pairs
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.utils.errors import CCAFLError, WrongArgument
from ccafl_plugin.utils.ranges import check_arguments
from ccafl_plugin.utils.seeds import generator

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""torchreid's normalisation, which is also applied when the trained model is used."""
FIRST_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0
"""First and largest factor of the logits: CLIP's values."""
LAST_SCALE = 20.0
"""Factor of the logits at the end of trainings with 6000 steps."""
ALIKE = 16
"""Number of texts of similar length that are encoded together."""
SHIFT = 5
"""Largest shift of a picture, in pixels."""
TINT = 0.1
"""Largest relative change of the brightness, and of each channel."""


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training.

    Attributes:
        steps: number of iterations.
        batch_size: pairs per batch, all of different persons.
        learning_rate: the largest learning rate, after the warm-up; it then falls to 0 along a cosine.
        weight_decay: applied to weight matrices only.
        warmup: number of iterations of linear warm-up.
        seed: seed of all random draws.
    """

    steps: int = 6000
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: int = 100
    seed: int = 1

    def __post_init__(self) -> None:
        check_arguments(
            steps=self.steps, learning_rate=self.learning_rate, weight_decay=self.weight_decay, seed=self.seed
        )
        if self.batch_size < 2:
            raise WrongArgument(f"{{batch_size}}: {self.batch_size} pairs have nothing to contrast; use at least 2.")

    def factor(self, step: int) -> float:
        """Factor of the learning rate at a step, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return half_cosine(1.0, 0.0, (step - self.warmup) / max(self.steps - self.warmup, 1))


class WordTable(nn.Module):
    """A separate small table with the token embeddings of the words in captions.

    With all 49408 rows, the optimizer would spend more time on them than on the images.

    Args:
        encoder: its token embeddings are the initial values.
        texts: texts that contain all words that are needed.

    Attributes:
        tokens: (k,) int64, ascending: CLIP's token numbers of the rows.
    """

    def __init__(self, encoder: TextEncoder, texts: list[str]) -> None:
        super().__init__()
        self.tokens = torch.unique(tokenize(texts))
        self.rows = nn.Parameter(encoder.token_embedding.weight[self.tokens].detach().clone())

    def forward(self, texts: list[str], encoder: TextEncoder) -> Tensor:
        """Sentences -> (n, E) float, not normalised.

        Raises:
            KeyError: a word is not in the table.
        """
        tokens = tokenize(texts)
        places = torch.searchsorted(self.tokens, tokens).clamp(max=len(self.tokens) - 1)
        unknown = tokens[self.tokens[places] != tokens]
        if unknown.numel():
            raise KeyError(f"token {int(unknown[0])} is not in the table of words")
        end_of_text = tokens.argmax(dim=1)  # the end-of-text token has the highest number in the vocabulary
        order = end_of_text.argsort()
        features = []
        for part in order.split(ALIKE):  # texts of similar length together: half the work
            length = int(end_of_text[part[-1]]) + 1
            features.append(encoder.encode(self.rows[places[part, :length]], end_of_text[part]))
        return torch.cat(features)[order.argsort()]

    @torch.no_grad()
    def write_back(self, encoder: TextEncoder) -> None:
        """Copies the rows into the encoder's table."""
        encoder.token_embedding.weight[self.tokens] = self.rows


def train(model: ClipReID, pairs: Pairs, schedule: Schedule, log: Callable[[str], None] = print) -> list[float]:
    """Trains the image and text encoder, in place, on the CPU.

    Two features of an image are compared with the caption: v with the text feature, as in CLIP, and the retrieval
    feature with a linear map of the text feature, which is discarded afterwards. OpenAI's encoders, trained on 400
    million images, have a pooled map that distinguishes persons without any training for it. With 16000 images this
    needs the second loss.

    Args:
        model: its neck does not change; its text encoder is frozen again afterwards.
        pairs: at least as many persons as pairs in a batch.
        schedule: length and learning rate.
        log: function that gets a line with the loss, twenty times.

    Returns:
        The loss of every step.

    Raises:
        CCAFLError: too few persons, or a loss that is not finite.
    """
    import open_clip

    if len(pairs.persons) // 2 * 2 < schedule.batch_size:
        raise CCAFLError(f"pretraining: {len(pairs.persons)} persons are too few for batches of {schedule.batch_size}.")
    encoder = model.text_encoder.requires_grad_(True).train()
    encoder.token_embedding.requires_grad_(False)
    words = WordTable(encoder, vocabulary())
    scales = nn.Parameter(torch.full((2,), math.log(FIRST_SCALE)))
    to_retrieval = nn.Linear(encoder.embed_dim, model.feature_dim, bias=False)
    optimizer = _optimizer([model.image_encoder.visual, encoder, to_retrieval], [words.rows, scales], schedule)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
    criterion = open_clip.ClipLoss()
    model.train()
    losses: list[float] = []
    hits: list[float] = []
    started, period = time.monotonic(), max(schedule.steps // 20, 1)
    for step, (images, captions) in enumerate(_batches(pairs, schedule), start=1):
        retrieval, seen, _ = model(images)
        said = words(captions, encoder)
        loss = criterion(*_units(seen, said), scales[0].exp())
        loss = loss + criterion(*_units(retrieval, to_retrieval(said)), scales[1].exp())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        scales.data.clamp_(max=math.log(LARGEST_SCALE))
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise CCAFLError(f"pretraining: the loss is {losses[-1]} in step {step}; use a smaller --learning-rate.")
        hits.append(matched(*_units(seen.detach(), said.detach())))
        if step % period == 0 or step == schedule.steps:
            log(
                f"step {step}/{schedule.steps}: loss {_mean(losses[-period:]):.3f}, {_mean(hits[-period:]):.1%} of "
                f"pictures find their caption, {time.monotonic() - started:.0f} s"
            )
    words.write_back(encoder)
    encoder.requires_grad_(False).eval()
    model.eval()
    set_lengths(model, pairs)
    return losses


@torch.no_grad()
def set_lengths(model: ClipReID, pairs: Pairs, scale: float = LAST_SCALE, count: int = 512) -> None:
    """Rescales both projections, in place, so that v . t is on average ``scale`` times their cosine.

    CLIP's loss normalises features, but CCAFL compares them unnormalised, at temperature 1. Without this step their
    lengths would be arbitrary, and a softmax over v . t could be nearly a maximum.

    Args:
        model: in eval mode, on the CPU.
        pairs: the lengths are measured on its first ``count`` pictures and their full captions.
        scale: about the factor of the cosines in CLIP's loss at the end of training.
        count: number of pictures.
    """
    images, owners = pairs.images[:count], pairs.owners[:count].unique().tolist()
    seen = torch.cat([model.image_embedding(normalised(part)) for part in images.split(128)])
    said = model.text_encoder(tokenize([f"A photo of {pairs.persons[owner].caption()}." for owner in owners]))
    length = math.sqrt(scale)
    projection = model.image_encoder.visual.attnpool.c_proj
    projection.weight *= length / seen.norm(dim=1).mean()
    projection.bias *= length / seen.norm(dim=1).mean()
    model.text_encoder.text_projection.mul_(length / said.norm(dim=1).mean())


def matched(images: Tensor, texts: Tensor) -> float:
    """Share of rows of ``images`` (B, E) whose most similar row of ``texts`` (B, E) has the same index; unit rows."""
    return (images @ texts.T).argmax(dim=1).eq(torch.arange(len(images))).float().mean().item()


def normalised(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> normalised float, the input of models."""
    return (images.float() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def augmented(images: Tensor, draws: torch.Generator) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, 3, H, W) float: randomly flipped, shifted (padded with black) and tinted."""
    count, _, height, width = images.shape
    flipped = torch.where(torch.rand(count, 1, 1, 1, generator=draws) < 0.5, images.flip(3), images)
    padded = F.pad(flipped, [SHIFT] * 4)
    places = torch.randint(2 * SHIFT + 1, (count, 2), generator=draws).tolist()
    moved = [padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(places)]
    gains = (1 + TINT * (2 * torch.rand(count, 1, 1, 1, generator=draws) - 1)) * (
        1 + TINT * (2 * torch.rand(count, 3, 1, 1, generator=draws) - 1)
    )
    return (torch.stack(moved).float() * gains).clamp(max=255)


def tokenize(texts: list[str]) -> Tensor:
    """(n, 77) int64."""
    import open_clip

    return open_clip.tokenize(texts)


def _batches(pairs: Pairs, schedule: Schedule) -> Iterator[tuple[Tensor, list[str]]]:
    """Random pictures of different random persons, each with a newly drawn caption.

    Persons are drawn in pairs of neighbours, which are mostly relatives. To distinguish relatives the model must learn
    details such as a bag; among strangers, colours would be enough.
    """
    draws, dice = generator(schedule.seed, "pretraining", "batches"), Dice(schedule.seed, "pretraining", "captions")
    of_each = pairs.of_each()
    waiting: list[int] = []
    for _ in range(schedule.steps):
        if len(waiting) < schedule.batch_size:
            couples = torch.randperm(len(pairs.persons) // 2, generator=draws)
            waiting = torch.stack([2 * couples, 2 * couples + 1], dim=1).flatten().tolist()
        owners, waiting = waiting[: schedule.batch_size], waiting[schedule.batch_size :]
        chosen = [of_each[owner][torch.randint(len(of_each[owner]), (), generator=draws)] for owner in owners]
        captions = [draw_caption(pairs.persons[owner], dice) for owner in owners]
        yield normalised(augmented(pairs.images[torch.stack(chosen)], draws)), captions


def _optimizer(modules: list[nn.Module], others: list[Tensor], schedule: Schedule) -> torch.optim.Optimizer:
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1]
    rest = [p for p in parameters if p.ndim <= 1] + others
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98), eps=1e-6)


def _units(images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    return F.normalize(images, dim=1), F.normalize(texts, dim=1)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
