"""Weights files that describe themselves: safetensors whose metadata say what a feature needs to be made again.

The tensors have the model's own names, so any program that reads a state dict can load them. Beside them there may be
a text encoder (below ``text_encoder.``) and camera statistics (below ``camera_statistics.``). A classifier is left out:
its rows are the training set's people, and no feature needs it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ccafl_plugin.models.activation import ACTIVATIONS
from ccafl_plugin.models.checkpoint_file import read_file
from ccafl_plugin.models.state_dicts import is_of_classifier
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.file_kinds import not_a_file
from ccafl_plugin.utils.files import write_whole
from ccafl_plugin.utils.provenance import package_version

FORMAT_KEY = "ccafl_weights"
"""Of the metadata: the number of this format."""
FORMAT = "1"
FILE = "weights.safetensors"
"""Name of the file in a run's folder."""
TEXT = "text_encoder."
"""Begins the names of a text encoder's tensors."""
CAMERAS = "camera_statistics"
"""Begins the names of camera statistics, and names their entry in the metadata."""

INTERPOLATIONS = ("bicubic", "bilinear")
FEATURES = ("retrieval", "embedding", "joint")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NOT_SAID = "not stated"

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class WeightsDescription:
    """What has to be known of weights so that their features come out right.

    Attributes:
        model: name for ``torchreid.models.build_model``.
        height: of the model's input, in pixels.
        width: of the model's input, in pixels.
        feature_dim: D, numbers of a feature of the kind ``feature``.
        feature: ``retrieval`` is the model's output in eval mode; ``embedding`` is CLIP's own image feature, which can
            be compared with text; ``joint`` is the feature before the neck and the embedding side by side, as
            CLIP-ReID tests.
        norm_mean: of red, green and blue, subtracted from pixels in [0, 1].
        norm_std: of red, green and blue; what is left is divided by it.
        interpolation: ``bicubic`` or ``bilinear``, with which images are resized.
        activation: ``quick_gelu`` or ``gelu`` of CLIP's transformers; empty: the model has no choice.
        embedding_dim: E, numbers of an embedding; 0: the model has none.
        trained_on: the training data, in words.
        licence: of the weights, in words.
        version: of this package, when the file was written.

    Raises:
        CCAFLError: a value that can't be.
    """

    model: str
    height: int
    width: int
    feature_dim: int
    feature: str = "retrieval"
    norm_mean: Channels = IMAGENET_MEAN
    norm_std: Channels = IMAGENET_STD
    interpolation: str = "bicubic"
    activation: str = ""
    embedding_dim: int = 0
    trained_on: str = NOT_SAID
    licence: str = NOT_SAID
    version: str = dataclasses.field(default_factory=package_version)

    def __post_init__(self) -> None:
        self._check_numbers()
        allowed = {"interpolation": INTERPOLATIONS, "feature": FEATURES, "activation": ("", *ACTIVATIONS)}
        for name, words in allowed.items():
            if getattr(self, name) not in words:
                raise unknown_name(f"weights description: {name}", getattr(self, name), words)
        for name in ("model", "trained_on", "licence", "version"):
            if not isinstance(getattr(self, name), str):
                raise CCAFLError(f"weights description: {name} is {getattr(self, name)!r}, but must be text.")
        if not self.model:
            raise CCAFLError("weights description: it names no model.")

    def _check_numbers(self) -> None:
        for name in ("height", "width", "feature_dim", "embedding_dim"):
            value = getattr(self, name)
            if type(value) is not int or value < (name != "embedding_dim"):
                raise CCAFLError(f"weights description: {name} is {value!r}, but must be a positive whole number.")
        for name in ("norm_mean", "norm_std"):
            numbers = getattr(self, name)
            kinds = isinstance(numbers, (list, tuple)) and len(numbers) == 3
            if not kinds or not all(type(x) in (int, float) and abs(x) < 1e6 for x in numbers):
                raise CCAFLError(f"weights description: {name} is {numbers!r}, but must be three numbers.")
            object.__setattr__(self, name, tuple(map(float, numbers)))
        if min(self.norm_std) <= 0:
            raise CCAFLError(f"weights description: norm_std is {self.norm_std}, but must be above 0.")

    def to_metadata(self) -> dict[str, str]:
        """All of it as text, for a file's metadata; :meth:`from_metadata` is the way back."""
        values = dataclasses.asdict(self)
        return {
            FORMAT_KEY: FORMAT,
            **{name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()},
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: object) -> WeightsDescription:
        """Reads what :meth:`to_metadata` wrote; entries of later versions are ignored.

        Args:
            metadata: of a file.
            source: the file's name, for messages.

        Raises:
            CCAFLError: an entry is missing or can't be.
        """
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            text = metadata.get(field.name)
            if text is None:
                if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                    raise CCAFLError(f"{source}: the description of these weights lacks {field.name!r}.")
                continue
            try:
                values[field.name] = text if field.type == "str" else json.loads(text)
            except json.JSONDecodeError as error:
                raise CCAFLError(f"{source}: the description's {field.name} is {text[:40]!r}, no number.") from error
        try:
            return cls(**values)
        except CCAFLError as error:
            raise CCAFLError(f"{source}: {error}") from error

    def conflicts(self, **values: Any) -> list[str]:
        """What contradicts the description.

        Args:
            **values: attributes of this class and what somebody else says of them.

        Returns:
            A phrase for each contradiction, such as ``height 128 instead of 256``.
        """
        found = []
        for name, value in values.items():
            own = getattr(self, name)
            if isinstance(own, tuple):
                value = tuple(map(float, value))
                differs = any(abs(mine - other) > 1e-6 for mine, other in zip(own, value, strict=True))
            else:
                differs = own != value
            if differs:
                shown = [list(x) if isinstance(x, tuple) else x or "none" for x in (value, own)]
                found.append(f"{name} {shown[0]} instead of {shown[1]}")
        return found


@dataclass(frozen=True, eq=False)
class DescribedWeights:
    """What a described file holds.

    Attributes:
        description: its description.
        state: the model's tensors under their own names.
        text: the text encoder's tensors under their own names; empty: there is none.
        cameras: tensors and metadata of camera statistics, for ``CameraStatistics.from_tensors``; None: there are none.
    """

    description: WeightsDescription
    state: dict[str, Tensor]
    text: dict[str, Tensor]
    cameras: tuple[dict[str, Tensor], dict[str, str]] | None


def save(
    path: str | Path,
    description: WeightsDescription,
    state: Mapping[str, Tensor],
    text: Mapping[str, Tensor] | None = None,
    cameras: tuple[Mapping[str, Tensor], Mapping[str, str]] | None = None,
) -> None:
    """Writes a file of weights that describes itself; it is whole or not there.

    Args:
        path: the file; its folder is made if needed.
        description: of the weights.
        state: the model's tensors by name, on any device; those of a classifier are left out.
        text: the tensors of its text encoder (``TextEncoder.state_dict()``); None: without.
        cameras: of ``CameraStatistics.to_tensors``.

    Raises:
        CCAFLError: there is no tensor, one holds numbers that are not finite, or the file can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    kept = {name: tensor for name, tensor in state.items() if not is_of_classifier(name)}
    if not kept:
        raise CCAFLError(f"{path} is not written: there are no weights to write.")
    kept |= {f"{TEXT}{name}": tensor for name, tensor in (text or {}).items()}
    metadata = description.to_metadata()
    if cameras is not None:
        kept |= cameras[0]
        metadata |= cameras[1]
    # clone: tensors that share memory can't be written
    kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in kept.items()}
    broken = next((name for name, x in kept.items() if x.is_floating_point() and not x.isfinite().all()), None)
    if broken is not None:
        raise CCAFLError(f"{path} is not written: {broken!r} holds numbers that are not finite. Train again.")
    try:
        write_whole(Path(path), lambda partial: save_file(kept, partial, metadata))
    except (OSError, SafetensorError) as error:
        raise CCAFLError(f"{str(path)!r} can't be written: {getattr(error, 'strerror', None) or error}.") from error


def is_described(path: str | Path) -> bool:
    """Whether a file is there and describes itself; only its beginning is read."""
    return bool(_metadata(Path(path).expanduser()).get(FORMAT_KEY))


def read_description(path: str | Path) -> WeightsDescription:
    """The description in a file, without its tensors.

    Raises:
        CCAFLError: there is no such file, or it does not describe itself.
    """
    if (found := not_a_file(Path(path).expanduser())) is not None:
        raise CCAFLError(f"weights: can't read {str(path)!r}: {found}.")
    metadata = _metadata(Path(path).expanduser())
    _check_format(metadata, path)
    return WeightsDescription.from_metadata(metadata, path)


def read(path: str | Path, key: str = "weights") -> DescribedWeights:
    """All that a described file holds, on the CPU.

    Args:
        path: the file.
        key: the setting or argument that errors name.

    Raises:
        CCAFLError: the file can't be read, or does not describe itself.
    """
    contents = read_file(path, key)
    _check_format(contents.metadata, path)
    description = WeightsDescription.from_metadata(contents.metadata, path)
    state, text, cameras = split_tensors(contents.value)
    of_cameras = (cameras, {CAMERAS: contents.metadata[CAMERAS]}) if CAMERAS in contents.metadata else None
    return DescribedWeights(description, state, text, of_cameras)


def split_tensors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a file: the model's, the text encoder's (under its own names), and the camera statistics'."""
    state, text, cameras = {}, {}, {}
    for name, tensor in tensors.items():
        if name.startswith(TEXT):
            text[name.removeprefix(TEXT)] = tensor
        elif name.startswith(f"{CAMERAS}."):
            cameras[name] = tensor
        else:
            state[name] = tensor
    return state, text, cameras


def _check_format(metadata: Mapping[str, str], path: str | Path) -> None:
    if FORMAT_KEY not in metadata:
        raise CCAFLError(
            f"{str(path)!r} does not describe its weights. Describe them with tools/convert_weights.py, or "
            "ccafl-convert-weights."
        )
    if metadata[FORMAT_KEY] != FORMAT:
        raise CCAFLError(
            f"{str(path)!r} is of format {metadata[FORMAT_KEY]}, and this version reads {FORMAT}. Update ccafl_plugin."
        )


def _metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; empty for any other file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(path.stat().st_size, 2**26) - 8:
                return {}
            found = json.loads(file.read(length))["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    texts = isinstance(found, dict) and all(isinstance(word, str) for word in found.values())
    return found if texts else {}
