"""Weights that other programs wrote, by the names of their tensors, as this package's models have them.

Known are the released models of CCAFL's authors and of CLIP-ReID (Li, Sun and Li, AAAI 2023), checkpoints of this
package, and files of torchreid's model zoo. What becomes of every tensor is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ccafl_plugin.models.described_model import build_described, feature_dim_of, feature_dims
from ccafl_plugin.models.state_dicts import is_of_classifier, without_parallel
from ccafl_plugin.models.weights_description import DescribedWeights, WeightsDescription
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.paper_values import INPUT_SIZE

STRIDE = 16
"""Pixels between two positions in the models of CCAFL and CLIP-ReID."""
OVERLAPPING = 12
"""The stride of CLIP-ReID's models with overlapping patches (its file names say OLP)."""
BY_LENGTH = {2048: "clip_rn50", 768: "clip_vit_b16", 512: "clip_tiny"}
"""Length of the retrieval feature -> model."""
NOT_FOR_FEATURES = "no feature of an image needs it"
OF_CLASSIFIER = f"{NOT_FOR_FEATURES}; a classifier of the training's people"
OWN_NAMES = {"image_encoder.proj": "image_encoder.projection", "gap.p": "image_encoder.gem.p"}
"""Names of the authors' that are not made by a rule."""
LEFT_OVER = {
    "prompt_learner": f"{NOT_FOR_FEATURES}; prompts of the training's people or proxies",
    "text_encoder": f"{NOT_FOR_FEATURES}; CLIP's own, to be had whole from CLIP's file (--text-encoder)",
    "bottleneck_proj": f"{NOT_FOR_FEATURES}; a neck of the embedding, which tests do not use",
    "cv_embed": "embeddings of cameras or views, which this package's models do not have",
}
"""Why a part of the authors' models is not used."""
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Said:
    """What somebody says of weights; None and empty where he says nothing.

    Attributes:
        model: name for ``torchreid.models.build_model``.
        size: (height, width) of the input, in pixels.
        norm_mean: of red, green and blue.
        norm_std: of red, green and blue.
        interpolation: ``bicubic`` or ``bilinear``.
        activation: ``quick_gelu`` or ``gelu``.
        feature: one of ``weights_description.FEATURES``.
        trained_on: the training data, in words.
        licence: of the weights, in words.
    """

    model: str = ""
    size: tuple[int, int] | None = None
    norm_mean: tuple[float, ...] | None = None
    norm_std: tuple[float, ...] | None = None
    interpolation: str = ""
    activation: str = ""
    feature: str = ""
    trained_on: str = ""
    licence: str = ""

    def over(self, other: Said) -> Said:
        """The same; what is not said here is taken from ``other``."""
        return dataclasses.replace(other, **{name: value for name, value in vars(self).items() if value})


@dataclass
class Conversion:
    """What becomes of the tensors of a file.

    Attributes:
        kind: what the file is, in words.
        said: what is known of such files.
        state: tensors of the model, under its own names.
        renamed: name in the file -> name in the model, of all that are used.
        left_over: name in the file -> why it is not used.
        notes: lines for the user.
    """

    kind: str
    said: Said
    state: dict[str, Tensor] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    left_over: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def use(self, name: str, tensor: Tensor, as_name: str) -> None:
        """Notes a tensor that the model takes; half precision becomes float32."""
        self.state[as_name] = tensor.float() if tensor.is_floating_point() else tensor
        self.renamed[name] = as_name


def convert(tensors: Mapping[str, Tensor], source: object, said: Said) -> Conversion:
    """The tensors of a file under this package's names.

    Args:
        tensors: of the file; ``module.`` may stand in their names.
        source: the file's name, for messages.
        said: what the user says of them; it wins over what is known of such files.

    Raises:
        CCAFLError: the layout is not known, or can't be one of this package's models.
    """
    plain = {without_parallel(name): name for name in tensors}  # name without module. -> name in the file
    state = {name: tensors[original] for name, original in plain.items()}
    for fits, make in LAYOUTS:
        if fits(state):
            made = make(state, source, said)
            made.renamed = {plain[name]: new for name, new in made.renamed.items()}
            made.left_over = {plain[name]: why for name, why in made.left_over.items()}
            made.said = said.over(made.said)
            return made
    first = ", ".join(list(tensors)[:3]) or "nothing"
    raise CCAFLError(
        f"{source}: its tensors ({first}, ...) are in no layout that is known: CCAFL's authors', CLIP-ReID's, this "
        "package's, CLIP's. For a model of torchreid's name it: --model NAME."
    )


def of_torchreid(tensors: Mapping[str, Tensor], said: Said) -> Conversion:
    """Weights of one of torchreid's models, whose names stay as they are.

    Args:
        tensors: of the file.
        said: its model, at least.
    """
    # Its model zoo was trained with bilinear images.
    made = Conversion("torchreid's", said.over(Said(size=INPUT_SIZE, interpolation="bilinear")))
    for name, tensor in tensors.items():
        plain = without_parallel(name)
        if is_of_classifier(plain):
            made.left_over[name] = OF_CLASSIFIER
        else:
            made.use(name, tensor, plain)
    return made


def described(made: Conversion) -> tuple[WeightsDescription, Any]:
    """The description of converted weights, and the model with them, in eval mode.

    Raises:
        CCAFLError: the tensors are not those of the model.
    """
    first = description_of(made.said, None)
    model: Any = build_described(DescribedWeights(first, made.state, {}, None), made.kind)
    return description_of(made.said, model), model


def description_of(said: Said, model: Any) -> WeightsDescription:
    """The description that words make.

    Args:
        said: of the weights.
        model: whose lengths of features are taken; None: it is still to be built, and they are 1.

    Raises:
        CCAFLError: a value that can't be, or a feature that the model does not have.
    """
    height, width = said.size or INPUT_SIZE
    known = {name: getattr(said, name) for name in ("norm_mean", "norm_std", "interpolation", "activation")}
    known |= {name: getattr(said, name) for name in ("trained_on", "licence")}
    known = {name: value for name, value in known.items() if value}
    first = WeightsDescription(said.model, height, width, 1, **known)
    if model is None:
        return first
    dims = {"retrieval": feature_dim_of(model, height, width)}
    if getattr(model, "is_ccafl_backbone", False):
        dims = feature_dims(model)
    feature = said.feature or "retrieval"
    if feature not in dims:
        raise unknown_name(f"weights: the feature of {said.model}", feature, dims)
    return dataclasses.replace(
        first, feature=feature, feature_dim=dims[feature], embedding_dim=dims.get("embedding", 0)
    )


def _of_authors(state: Mapping[str, Tensor]) -> bool:
    return "image_encoder.conv1.weight" in state and "bottleneck.weight" in state


def _from_authors(state: Mapping[str, Tensor], source: object, said: Said) -> Conversion:
    """CCAFL's authors' models and CLIP-ReID's, which have one layout of names; CLIP-ReID's have classifiers."""
    of_clipreid = any(is_of_classifier(name) for name in state)
    is_vit = "image_encoder.class_embedding" in state
    length = len(state["bottleneck.weight"])
    size = said.size or INPUT_SIZE
    made = Conversion(
        "CLIP-ReID" if of_clipreid else "CCAFL of its authors",
        Said(
            model=_model_of_length(length, source, said),
            size=size,
            activation="quick_gelu",
            # CLIP-ReID trains with bicubic images and tests with bilinear ones, on both features before their necks.
            interpolation="bilinear" if of_clipreid else "bicubic",
            feature="joint" if of_clipreid else "retrieval",
            norm_mean=HALF if of_clipreid and is_vit else None,
            norm_std=HALF if of_clipreid and is_vit else None,
        ),
    )
    for name, tensor in state.items():
        _one_of_authors(made, name, tensor, source)
    if "image_encoder.gem.p" not in made.state and not is_vit:
        made.state["image_encoder.gem.p"] = torch.ones(1)
        made.notes.append("average pooling, as GeM with the exponent 1")
    _add_grid(made, size, is_vit, source)
    if "cv_embed" in state:
        made.notes.append(
            f"features are those of no camera: the file has embeddings of {len(state['cv_embed'])} cameras or views, "
            "which its authors add when they test"
        )
    return made


def _one_of_authors(made: Conversion, name: str, tensor: Tensor, source: object) -> None:
    """What becomes of one tensor of the authors' layout."""
    part, _, rest = name.partition(".")
    if name == "bottleneck.bias":
        if not bool((tensor == 0).all()):
            raise CCAFLError(f"{source}: bottleneck.bias is not 0, and the necks of this package have no bias.")
        made.left_over[name] = "it is 0, and the necks of this package have none"
    elif part in ("image_encoder", "bottleneck"):
        new = f"image_encoder.visual.{rest}" if part == "image_encoder" else f"neck.{rest}"
        made.use(name, tensor, OWN_NAMES.get(name, new))
    elif name in OWN_NAMES:
        made.use(name, tensor.reshape(1), OWN_NAMES[name])
    else:
        classifier = is_of_classifier(name)
        made.left_over[name] = OF_CLASSIFIER if classifier else LEFT_OVER.get(part, "not known")
    if name == "prompt_learner.token_prefix":
        words = tensor.shape[1] - 1
        made.notes.append(f"learned prompt words stand behind {words} words (the start of text apart)")


def _add_grid(made: Conversion, size: tuple[int, int], is_vit: bool, source: object) -> None:
    """The grid of the positional embeddings, which only this package's files store.

    Raises:
        CCAFLError: their number belongs to another input size, or to overlapping patches.
    """
    key = f"image_encoder.visual.{'' if is_vit else 'attnpool.'}positional_embedding"
    if key not in made.state:
        raise CCAFLError(f"{source}: it has no positional embeddings where CLIP's image encoder has some.")
    rows = len(made.state[key]) - 1
    grid = (size[0] // STRIDE, size[1] // STRIDE)
    if rows != math.prod(grid):
        overlapping = math.prod((side - STRIDE) // OVERLAPPING + 1 for side in size)
        why = (
            f"its patches overlap (stride {OVERLAPPING}), which the models of this package do not do"
            if rows == overlapping
            else f"name the size of its training: --size HEIGHT WIDTH (it has {rows} positions, one per 16 x 16 pixels)"
        )
        raise CCAFLError(f"{source}: its positions are not those of {size[0]} x {size[1]} pixels: {why}.")
    made.state["image_encoder.positional_grid"] = torch.tensor(grid)


def _of_this_package(state: Mapping[str, Tensor]) -> bool:
    return "neck.weight" in state and any(name.startswith("image_encoder.") for name in state)


def _from_this_package(state: Mapping[str, Tensor], source: object, said: Said) -> Conversion:
    grid = state.get("image_encoder.positional_grid")
    size = None if grid is None else (int(grid[0]) * STRIDE, int(grid[1]) * STRIDE)
    name = _model_of_length(len(state["neck.weight"]), source, said)
    activation = "gelu" if "image_encoder.is_gelu" in state else "quick_gelu"
    made = Conversion("this package's", Said(model=name, size=size, activation=activation, interpolation="bicubic"))
    if size is not None and said.size is None:
        made.notes.append(f"the size {size[0]} x {size[1]} is told by the positions' grid {tuple(grid.tolist())}")  # type: ignore[union-attr]
    for key, tensor in state.items():
        if is_of_classifier(key):
            made.left_over[key] = OF_CLASSIFIER
        else:
            made.use(key, tensor, key)
    return made


def _model_of_length(length: int, source: object, said: Said) -> str:
    """The name of the model whose retrieval feature has this length."""
    if said.model:
        return said.model
    if length not in BY_LENGTH:
        raise CCAFLError(
            f"{source}: its feature has {length} numbers, as no CLIP of this package; name the model: --model NAME."
        )
    return BY_LENGTH[length]


LAYOUTS: tuple[
    tuple[Callable[[Mapping[str, Tensor]], bool], Callable[[Mapping[str, Tensor], object, Said], Conversion]], ...
] = (
    (_of_this_package, _from_this_package),
    (_of_authors, _from_authors),
)
"""How a layout is known, and what is made of it; the first that fits is taken."""
