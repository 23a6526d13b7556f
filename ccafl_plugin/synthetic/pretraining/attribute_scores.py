"""Zero-shot evaluation of a CLIP: the most similar text names an attribute of a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.models.clip import ClipReID
from ccafl_plugin.models.prompts import PROMPT_AFTER, PROMPT_BEFORE
from ccafl_plugin.synthetic.pretraining.captions import ANY_TOP, NO_BAG, NO_HAT, with_article
from ccafl_plugin.synthetic.pretraining.contrastive_training import matched, normalised, tokenize
from ccafl_plugin.synthetic.pretraining.image_text_pairs import Pairs
from ccafl_plugin.synthetic.renderer import identity as tables
from ccafl_plugin.synthetic.renderer.identity import Identity


@dataclass(frozen=True)
class Attribute:
    """A question about a person.

    Attributes:
        of: gives the true answer.
        words: every possible answer with texts for it, without an article; several texts of an answer are averaged.
    """

    of: Callable[[Identity], str]
    words: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Accuracy:
    """How often an attribute was named correctly.

    Attributes:
        accuracy: share of the pictures of a true answer that got this answer; mean over the answers that occur.
        chance: the accuracy of guessing, or of always giving one answer: 1 / number of answers that occur.
    """

    accuracy: float
    chance: float


_KINDS = sorted({kind for kinds in tables.BOTTOMS.values() for kind in kinds})
_BAGS = [kind for kind in tables.BAGS if kind != "none"]
_HATS = [kind for kind in tables.HATS if kind != "none"]

ATTRIBUTES: dict[str, Attribute] = {
    "upper colour": Attribute(lambda p: p.top_colour, {c: (f"{c} {ANY_TOP}",) for c in tables.TOP_COLOURS}),
    "lower colour": Attribute(
        lambda p: p.bottom_colour, {c: tuple(f"{c} {kind}" for kind in _KINDS) for c in tables.BOTTOM_COLOURS}
    ),
    "lower garment": Attribute(
        lambda p: p.bottom, {kind: tuple(f"{c} {kind}" for c in tables.BOTTOM_COLOURS) for kind in _KINDS}
    ),
    "bag": Attribute(lambda p: str(p.bag != "none"), {"True": ("bag", *_BAGS), "False": (NO_BAG,)}),
    "hat": Attribute(lambda p: str(p.hat != "none"), {"True": ("hat", *_HATS), "False": (NO_HAT,)}),
    "shoes": Attribute(lambda p: p.shoes, {c: (f"{c} shoes",) for c in tables.SHOES}),
}


@torch.no_grad()
def zero_shot(model: ClipReID, pairs: Pairs, attributes: dict[str, Attribute] = ATTRIBUTES) -> dict[str, Accuracy]:
    """Names attributes of the persons in ``pairs``: it compares each picture with a text for each answer.

    Args:
        model: in eval mode.
        pairs: pictures of persons that the model was not trained on.
        attributes: by name.
    """
    seen = image_features(model, pairs.images)
    return {name: _accuracy(attribute, model, pairs, seen) for name, attribute in attributes.items()}


@torch.no_grad()
def retrieval(model: ClipReID, pairs: Pairs, batch_size: int = 128) -> float:
    """Share of pictures that find their own full caption in a batch; it uses each person's first picture."""
    numbers = torch.stack([numbers[0] for numbers in pairs.of_each()])
    seen = image_features(model, pairs.images[numbers])
    said = text_features(model, [f"A photo of {person.caption()}." for person in pairs.persons])
    starts = range(0, max(len(seen) - batch_size + 1, 1), batch_size)  # whole batches only
    shares = [matched(seen[first : first + batch_size], said[first : first + batch_size]) for first in starts]
    return sum(shares) / len(shares)


def image_features(model: ClipReID, images: Tensor, chunk: int = 128) -> Tensor:
    """(M, 3, H, W) uint8 -> (M, E), unit rows of v."""
    return torch.cat([F.normalize(model.image_embedding(normalised(part)), dim=1) for part in images.split(chunk)])


def text_features(model: ClipReID, texts: list[str], chunk: int = 256) -> Tensor:
    """(n, E), unit rows."""
    return torch.cat([F.normalize(model.text_encoder(part), dim=1) for part in tokenize(texts).split(chunk)])


def texts_about(words: str) -> list[str]:
    """The sentences that contain only ``words``."""
    return [f"{PROMPT_BEFORE} person with {with_article(words)}.", f"{PROMPT_BEFORE} {words} {PROMPT_AFTER}"]


def _accuracy(attribute: Attribute, model: ClipReID, pairs: Pairs, seen: Tensor) -> Accuracy:
    answers = [
        text_features(model, [text for way in ways for text in texts_about(way)]).mean(dim=0)
        for ways in attribute.words.values()
    ]
    given = (seen @ F.normalize(torch.stack(answers), dim=1).T).argmax(dim=1)
    names = list(attribute.words)
    true = torch.tensor([names.index(attribute.of(person)) for person in pairs.persons])[pairs.owners]
    occurring = true.unique()
    right = [given[true == answer].eq(answer).float().mean() for answer in occurring]
    return Accuracy(torch.stack(right).mean().item(), 1 / len(occurring))
