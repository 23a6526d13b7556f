"""What the learned prompts say: the words nearest to their vectors, and how they compare with images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.data.crop_choice import spread
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine import manifests
from ccafl_plugin.models.checkpoint_file import read_part
from ccafl_plugin.models.pretrained import PACKAGE_WEIGHTS
from ccafl_plugin.models.prompts import TextEncoder
from ccafl_plugin.models.token_rows import KEPT_KEY
from ccafl_plugin.report.drawing import COLOURS, as_drawing, figure, legend_below, share_stairs
from ccafl_plugin.report.page_blocks import Custom, Drawing, Text
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.rebuilt_run import RebuiltRun
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator

SHOWN = 6
"""Prompts."""
PER_PROMPT = 3
"""Images beside a prompt."""
MOST = 1500
"""Images that prompts are compared with."""
BINS = 60

LEAD = (
    "Stage 1 learns a few vectors for each person of each camera, in the place of the words X: A photo of a X X X X "
    "person. Here each vector is replaced by the word whose embedding has the largest cosine with it, which is below."
)


@dataclass(frozen=True, eq=False)
class Prompts:
    """The prompts of a run.

    Attributes:
        context: (N, L, width) float32, their learned vectors.
        features: (N, E) float32, rows of length 1: their text features.
        of_proxy: (proxies,) int64, the prompt of each proxy.
        labels: of the training list.
        images: (m,) int64, places in the training list of the images that they are compared with.
    """

    context: Tensor
    features: Tensor
    of_proxy: Tensor
    labels: ProxyLabels
    images: Tensor


@dataclass(frozen=True, eq=False)
class Comparison:
    """Images and prompts of one camera compared.

    Attributes:
        own: (m,) cosine of each image with its own prompt.
        others: (k,) cosines with the other prompts of its camera.
        right: share of the images whose own prompt is the most similar of its camera.
        chance: this share if all prompts were alike.
    """

    own: Tensor
    others: Tensor
    right: float
    chance: float


def prompts_of(run: RebuiltRun) -> Prompts:
    """The learned prompts in the newest checkpoint.

    Raises:
        CCAFLError: there are none, in words that say why.
    """
    if not isinstance(getattr(unwrap(run.model), "text_encoder", None), TextEncoder):
        raise CCAFLError("the model has no text encoder that reads prompts.")
    for manifest in manifests.manifests(run.run.path)[::-1]:
        name = manifests.files_of(manifest).get("prompts", "")
        if name and (run.run.path / name).is_file():
            state = read_part(run.run.path / name, "RUN")["state_dict"]
            if not bool(state["learned"]):
                raise CCAFLError("stage 1 has not trained them yet.")
            break
    else:
        raise CCAFLError("no checkpoint in the folder has any; runs without text terms learn none.")
    labels = ProxyLabels.from_tuples(run.training_list())
    count = len(state["features"])
    of_proxy = torch.arange(labels.num_proxies) if count == labels.num_proxies else labels.person_of_proxy
    if int(of_proxy.max()) + 1 != count:
        raise CCAFLError(f"the checkpoint has {count} prompts, the data {labels.num_proxies} proxies.")
    images = torch.randperm(labels.num_images, generator=generator(1, "report"))[:MOST].sort().values
    features = F.normalize(state["features"].float(), dim=1)
    return Prompts(state["learner.context"].float(), features, of_proxy, labels, images)


def compared(run: RebuiltRun, prompts: Prompts, what: str) -> Comparison:
    """Images and prompts compared, by the image encoder with the weights that it has now."""
    target: Any = unwrap(run.model)
    train = run.training_list()
    paths = [str(train[image][0]) for image in prompts.images.tolist()]
    embeddings = F.normalize(run.encode(paths, target.eval().image_embedding, what), dim=1)
    return comparison(prompts, embeddings)


def comparison(prompts: Prompts, embeddings: Tensor) -> Comparison:
    """(m, E) float embeddings with rows of length 1, compared with the prompts of their cameras."""
    labels = prompts.labels
    proxies = labels.proxy_of_image[prompts.images]
    own, others, right, chance = [], [], 0.0, 0.0
    for camera in range(labels.num_cameras):
        rows = (labels.camera_of_image[prompts.images] == camera).nonzero().flatten()
        if not len(rows):
            continue
        candidates = (labels.camera_of_proxy == camera).nonzero().flatten()
        cosines = embeddings[rows] @ prompts.features[prompts.of_proxy[candidates]].T
        is_own = candidates[None] == proxies[rows][:, None]
        own.append(cosines[is_own])
        others.append(cosines[~is_own])
        right += float((cosines.argmax(dim=1) == is_own.int().argmax(dim=1)).sum())
        chance += len(rows) / len(candidates)
    count = len(prompts.images)
    return Comparison(torch.cat(own), torch.cat(others), right / count, chance / count)


def comparison_drawing(found: Comparison, when: str, limits: tuple[float, float]) -> Drawing:
    """Histograms of an image's cosine with its own prompt and with the others of its camera."""
    with figure() as (made, axes):
        for values, name, shade in (
            (found.others, "other people's prompts", COLOURS[1]),
            (found.own, "own prompt", COLOURS[0]),
        ):
            counts = torch.histc(values.float(), BINS, *limits).numpy()
            share_stairs(axes, counts, torch.linspace(*limits, BINS + 1).numpy(), name, shade)
        axes.set_xlim(*limits)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("cosine of an image and a prompt of its camera")
        axes.set_title(f"share (%), {when}")
        legend_below(made, axes)
        means = f"own prompt {float(found.own.mean()):.3f}"
        if len(found.others):
            means += f", others {float(found.others.mean()):.3f}"
        return as_drawing(made, f"Cosines of images and prompts {when}, on average: {means}")


def comparison_drawings(found: dict[str, Comparison]) -> list[Drawing | Text]:
    """The histograms of all moments on one axis, and a line on them."""
    values = torch.cat([part for each in found.values() for part in (each.own, each.others)])
    low, high = float(values.min()), float(values.max())
    limits = (low - 0.02, high + 0.02)
    words = ", ".join(f"{100 * each.right:.0f} % {when}" for when, each in found.items())
    chance = next(iter(found.values())).chance
    line = Text(
        f"Of an image's camera, its own person's prompt is the most similar for {words} (chance {100 * chance:.1f} %)."
    )
    return [*(comparison_drawing(each, when, limits) for when, each in found.items()), line]


def words_block(run: RebuiltRun, prompts: Prompts, pictures: Pictures) -> Custom:
    """Some prompts with their nearest words, beside images of their person.

    Raises:
        CCAFLError: the tokens of the text encoder are not trained.
    """
    encoder: Any = unwrap(run.model).text_encoder
    vectors, words = word_embeddings(run, encoder)
    train = run.training_list()
    rows = []
    for proxy in spread(range(prompts.labels.num_proxies), SHOWN):
        nearest = nearest_words(prompts.context[int(prompts.of_proxy[proxy])], vectors, words)
        images = spread(prompts.labels.images_of_proxy(proxy), PER_PROMPT)
        rows.append(
            {
                "camera": run.camera_name(int(train[images[0]][2])),
                "pictures": [{"uri": pictures.read(str(train[i][0])), "name": Path(train[i][0]).name} for i in images],
                "words": [{"word": word, "cosine": f"{cosine:.2f}"} for word, cosine in nearest],
            }
        )
    return Custom("prompts", {"rows": rows, "said": how_near(prompts.context, vectors, len(words))})


def nearest_words(vectors: Tensor, embeddings: Tensor, words: list[str]) -> list[tuple[str, float]]:
    """The word with the largest cosine, and the cosine, of each vector.

    Args:
        vectors: (L, width) float.
        embeddings: (V, width) float, rows of length 1.
        words: V words.
    """
    best = (F.normalize(vectors, dim=1) @ embeddings.T).max(dim=1)
    return [(words[place], cosine) for place, cosine in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def how_near(context: Tensor, embeddings: Tensor, words: int) -> str:
    """How near the nearest words are, beside those of random vectors: whether they say anything."""
    learned = F.normalize(context.flatten(0, 1), dim=1)
    learned = learned[torch.randperm(len(learned), generator=generator(1, "vectors"))[:MOST]]
    random = F.normalize(torch.randn(learned.shape, generator=generator(1, "random vectors")), dim=1)
    near, by_chance = (float((each @ embeddings.T).amax(dim=1).mean()) for each in (learned, random))
    return (
        f"The nearest of {words:,} words has a cosine of {near:.2f} on average, and of {by_chance:.2f} for random "
        "vectors. Only so far as the first number is the larger one do the words say anything."
    )


def word_embeddings(run: RebuiltRun, encoder: TextEncoder) -> tuple[Tensor, list[str]]:
    """(V, width) float32 with rows of length 1: the embeddings of whole words that were trained, and the words.

    Raises:
        CCAFLError: the text encoder has random weights.
    """
    from open_clip import SimpleTokenizer

    if not run.config.model.pretrained:
        raise CCAFLError("the text encoder has random weights, so that no word is near anything.")
    table = encoder.token_embedding.weight.detach().float().cpu()
    decoder = SimpleTokenizer().decoder
    kept = trained_rows(run)
    rows, words = [], []
    for token, text in decoder.items():
        word = text.removesuffix("</w>")
        if token < len(table) and text.endswith("</w>") and word.isalpha() and (kept is None or token in kept):
            rows.append(token)
            words.append(word)
    return F.normalize(table[rows], dim=1), words


def trained_rows(run: RebuiltRun) -> set[int] | None:
    """Tokens that a small file of weights has trained embeddings of; None: all."""
    from safetensors import SafetensorError, safe_open

    given = run.config.ccafl.clip_weights
    file = Path(given).expanduser() if given else PACKAGE_WEIGHTS / f"{run.config.model.name}.safetensors"
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            if KEPT_KEY not in opened.keys():  # noqa: SIM118
                return None
            return set(opened.get_tensor(KEPT_KEY).tolist())
    except (OSError, SafetensorError) as error:
        raise CCAFLError(f"{file} can't be read ({error}).") from error
