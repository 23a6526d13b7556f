"""torchreid's loading of checkpoints and of ImageNet weights, through the package's one reader and one door.

torchreid's own functions run whatever code a file names, with torch before 2.6, and can't read torchreid's own
checkpoints with torch from 2.6 on; its downloads come over plain HTTP without a checksum.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.integration.changes import Change, replace_everywhere, set_attribute
from ccafl_plugin.integration.torchreid_layout import (
    attribute,
    require_attributes,
    require_parameters,
    torchreid_module,
)
from ccafl_plugin.models.checkpoint_file import read_part
from ccafl_plugin.models.state_dicts import is_optional, like_own_names, tensors_of
from ccafl_plugin.models.weights_description import split_tensors
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.downloads import checksum_in_name, fetch
from ccafl_plugin.utils.errors import CCAFLError

ADDRESSED = (
    *("densenet", "inceptionv4", "mlfn", "mobilenetv2", "nasnet", "pcb", "resnet", "resnet_ibn_a", "resnet_ibn_b"),
    *("resnetmid", "senet", "shufflenet", "shufflenetv2", "squeezenet", "xception"),
)
"""Modules of models whose ``init_pretrained_weights`` takes an address."""
NAMED = ("osnet", "osnet_ain")
"""Modules of models whose ``init_pretrained_weights`` takes a name, and whose weights are on Google Drive."""


def load_checkpoint(fpath: str | os.PathLike[str]) -> dict[Any, Any]:
    """What a checkpoint's file holds, tensors on the CPU; in place of torchreid's function of this name.

    Raises:
        CCAFLError: it can't be read, or holds anything else than tensors, numbers, texts and containers of these.
    """
    if fpath is None:
        raise ValueError("File path is None")  # torchreid's words
    return read_part(os.path.expanduser(fpath), "load_checkpoint")


def load_pretrained_weights(model: nn.Module, weight_path: str) -> None:
    """Loads what fits into a model, as torchreid's function of this name; nothing that fits is an error.

    Positional embeddings of a CLIP model are taken to the model's own input size.

    Raises:
        CCAFLError: the file can't be read, or no tensor of it fits.
    """
    key = "load_pretrained_weights"
    state, _, _ = split_tensors(tensors_of(read_part(weight_path, key), weight_path, key))
    _warn_of_other_size(model, state, weight_path)
    matched, discarded = fill(model, state, f"{key}: {weight_path!r}")
    print(f'Successfully loaded pretrained weights from "{weight_path}" ({len(matched)} tensors)')
    if discarded:
        print(f"** The following layers are discarded due to unmatched keys or layer size: {discarded}")


def _warn_of_other_size(model: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """A warning where the positions in a file say that it was trained with images of another size."""
    encoder: Any = getattr(unwrap(model), "image_encoder", None)
    stored = next((tensor for name, tensor in state.items() if name.endswith("image_encoder.positional_grid")), None)
    if stored is None or encoder is None or (grid := tuple(stored.tolist())) == tuple(encoder.grid):
        return
    warnings.warn(
        f"{str(source)!r} was trained with images that give {grid[0]} x {grid[1]} positions, but the model's give "
        f"{encoder.grid[0]} x {encoder.grid[1]}; name the height and width of its training.",
        stacklevel=3,
    )


def fill(model: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[list[str], list[str]]:
    """Copies every tensor that fits by name and size into a model.

    Args:
        model: changed in place; also inside ``nn.DataParallel``.
        state: tensors by name.
        source: begins the error.

    Returns:
        The names that fit, and those that do not.

    Raises:
        CCAFLError: none fits.
    """
    target = unwrap(model)
    own = target.state_dict()
    named = like_own_names(state, own)
    of_clip = getattr(target, "is_ccafl_backbone", False)
    fitting = {name: tensor for name, tensor in named.items() if _fits(name, tensor, own, of_clip)}
    counted = [name for name in fitting if not is_optional(name)]
    if not counted:
        raise CCAFLError(
            f"{source} fits none of the model's {len(own)} tensors: it begins with {next(iter(named), 'nothing')!r}, "
            f"the model with {next(iter(own), 'nothing')!r}; name weights of this model."
        )
    target.load_state_dict(fitting, strict=False)
    return list(fitting), [name for name in named if name not in fitting]


def _fits(name: str, tensor: Tensor, own: Mapping[str, Tensor], of_clip: bool) -> bool:
    if of_clip and name.endswith("image_encoder.is_gelu"):
        return True
    if name not in own:
        return False
    if of_clip and name.endswith("positional_embedding") and tensor.ndim == 2:  # the model interpolates them
        return tensor.shape[1] == own[name].shape[1] and len(tensor) > 1
    return own[name].shape == tensor.shape


def resume_from_checkpoint(fpath: str, model: nn.Module, optimizer: Any = None, scheduler: Any = None) -> int:
    """Goes on from a checkpoint, as torchreid's function of this name.

    Returns:
        The epoch to start with.

    Raises:
        CCAFLError: the file can't be read, or does not fit the model, the optimizer or the schedule.
    """
    key = "model.resume"
    print(f'Loading checkpoint from "{fpath}"')
    checkpoint = read_part(fpath, key)
    target = unwrap(model)
    state = like_own_names(tensors_of(checkpoint, fpath, key), target.state_dict())
    epoch = checkpoint.get("epoch")
    if type(epoch) is not int:
        raise CCAFLError(
            f"{key}: {fpath!r} holds weights but no number of epochs, so there is no run to go on with; "
            "use model.load_weights for the weights alone."
        )
    try:
        target.load_state_dict(state)
        print("Loaded model weights")
        for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
            if part is not None and name in checkpoint:
                part.load_state_dict(checkpoint[name])
                print(f"Loaded {name}")
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
        raise CCAFLError(f"{key}: {fpath!r} does not fit this run: {reason}") from error
    print(f"Last epoch = {epoch}")
    try:
        print(f"Last rank1 = {float(checkpoint['rank1']):.1%}")
    except (KeyError, TypeError, ValueError):
        print("Last rank1 is not in the checkpoint")
    return epoch


def checkpoint_changes() -> list[Change]:
    """``load_checkpoint``, ``load_pretrained_weights`` and ``resume_from_checkpoint``."""
    changes = []
    for ours, parameters in (
        (load_checkpoint, ("fpath",)),
        (load_pretrained_weights, ("model", "weight_path")),
        (resume_from_checkpoint, ("fpath", "model", "optimizer", "scheduler")),
    ):
        original = attribute("utils.torchtools", ours.__name__)
        require_parameters(original, *parameters)
        changes += replace_everywhere(original, ours, "utils.torchtools", "utils")
    return changes


def hub_file(url: str) -> Path:
    """Where torch keeps what it downloads from an address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(url)


def google_file(name: str) -> Path:
    """Where torchreid keeps its ImageNet weights of OSNet."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))).expanduser()
    return home / "checkpoints" / f"{name}_imagenet.pth"


def imagenet_weights(model: nn.Module, url: str, file: Path) -> None:
    """Fills a model of torchreid's with its ImageNet weights, downloaded if they are not there.

    Raises:
        CCAFLError: they could not be loaded, hold no weights, or belong to another model.
    """
    what = f"model.pretrained: the file {file.name}"
    fetch(url, file, what, "set model.pretrained False for random weights", sha256=checksum_in_name(url))
    key = "model.pretrained"
    state = tensors_of(read_part(file, key), file, key)
    matched, discarded = fill(model, state, f"{key}: {str(file)!r}")
    model.__dict__["imagenet_file"] = str(file)  # so that a caller can tell that there were some
    print(f'Loaded {len(matched)} ImageNet tensors from "{file}", {len(discarded)} do not fit and are left out')


def _by_address(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init_pretrained_weights(model: nn.Module, model_url: str | None) -> None:
        if model_url is None:  # torchreid says that there are none
            return original(model, model_url)
        return imagenet_weights(model, model_url, hub_file(model_url))

    return init_pretrained_weights


def _by_name(original: Callable[..., None], module: ModuleType) -> Callable[..., None]:
    @functools.wraps(original)
    def init_pretrained_weights(model: nn.Module, key: str = "") -> None:
        imagenet_weights(model, module.pretrained_urls[key], google_file(key))

    return init_pretrained_weights


def imagenet_changes() -> list[Change]:
    """Downloads of ImageNet weights in all of torchreid's models."""
    changes = []
    for name in (*ADDRESSED, *NAMED):
        original = attribute(f"models.{name}", "init_pretrained_weights")
        module = torchreid_module(f"models.{name}")
        require_parameters(original, "model", "key" if name in NAMED else "model_url")
        if name in NAMED:
            attribute(f"models.{name}", "pretrained_urls", dict)
        ours = _by_name(original, module) if name in NAMED else _by_address(original)
        changes += replace_everywhere(original, ours, f"models.{name}")
    inception = attribute("models.inceptionresnetv2", "InceptionResNetV2", type)
    require_attributes(inception, "load_imagenet_weights")
    settings = attribute("models.inceptionresnetv2", "pretrained_settings", dict)

    @functools.wraps(inception.load_imagenet_weights)
    def load_imagenet_weights(self: nn.Module) -> None:
        url = settings["inceptionresnetv2"]["imagenet"]["url"]
        imagenet_weights(self, url, hub_file(url))

    return [*changes, set_attribute(inception, "load_imagenet_weights", load_imagenet_weights)]


def dataset_download_changes() -> list[Change]:
    """Data sets are never downloaded: torchreid's addresses are plain HTTP, and it unpacks whatever comes."""
    dataset = attribute("data.datasets.dataset", "Dataset", type)
    require_parameters(dataset.download_dataset, "dataset_dir", "dataset_url")
    original_url = attribute("utils.tools", "download_url")
    require_parameters(original_url, "url", "dst")

    @functools.wraps(dataset.download_dataset)
    def download_dataset(self: Any, dataset_dir: str, dataset_url: str | None) -> None:
        if os.path.exists(dataset_dir):
            return
        source = f"fetch {dataset_url}" if dataset_url else "ask its authors for it"
        raise CCAFLError(
            f"data.root: {type(self).__name__} is not in {dataset_dir!r}, and data sets are not downloaded; {source}, "
            "unpack it there, or name the folder that holds it."
        )

    @functools.wraps(original_url)
    def download_url(url: str, dst: str) -> None:
        fetch(url, Path(dst), f"the file {os.path.basename(dst)}", "do without it")

    university = attribute("data.datasets.image.university1652", "University1652", type)
    prepare = university.__init__

    @functools.wraps(prepare)
    def __init__(self: Any, root: str = "", **settings: Any) -> None:  # it downloads and unpacks by itself
        download_dataset(
            self, os.path.join(os.path.abspath(os.path.expanduser(root)), self.dataset_dir), self.dataset_url
        )
        prepare(self, root, **settings)

    return [
        set_attribute(university, "__init__", __init__),
        set_attribute(dataset, "download_dataset", download_dataset),
        *replace_everywhere(original_url, download_url, "utils.tools", "utils", "data.datasets.dataset"),
    ]
