"""Loads the weights of a trained model (``model.load_weights``): a checkpoint of torchreid's format, or safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ccafl_plugin.models.checkpoint_file import read_part
from ccafl_plugin.models.state_dicts import is_of_classifier, is_optional, like_own_names, tensors_of
from ccafl_plugin.models.weights_description import split_tensors
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError


def load_weights(model: nn.Module, path: str) -> None:
    """Loads a model's weights. A classifier of another size is skipped; all other tensors must match.

    torchreid's own ``load_pretrained_weights`` silently skips every tensor that does not match.

    Args:
        model: any model, also inside ``nn.DataParallel``.
        path: a checkpoint file, e.g. ``log/model/model.pth.tar-50``, or a file that describes itself.

    Raises:
        CCAFLError: the file is not a checkpoint, or it is of another model.
    """
    key = "model.load_weights"
    state, _, _ = split_tensors(tensors_of(read_part(path, key), path, key))
    loaded, count = load_state(model, state, f"{key}: {path!r} is a checkpoint of another model than model.name")
    print(f'Loaded {loaded} of {count} tensors from "{path}"')


def load_state(model: nn.Module, state: Mapping[str, Tensor], complaint: str) -> tuple[int, int]:
    """Copies a trained model's tensors into a model. All must match but a classifier of another size.

    Args:
        model: any model, also inside ``nn.DataParallel``; changed in place.
        state: tensors by name.
        complaint: begins the error.

    Returns:
        How many tensors were loaded, and how many the model has.

    Raises:
        CCAFLError: they are of another model.
    """
    target = unwrap(model)
    own = target.state_dict()
    state = like_own_names(state, own)
    state = {
        name: tensor
        for name, tensor in state.items()
        if not is_of_classifier(name) or (name in own and own[name].shape == tensor.shape)
    }
    needed = {name for name in own if not is_of_classifier(name) and not is_optional(name)}
    missing, left_over = (
        sorted(needed - set(state)),
        sorted(name for name in set(state) - set(own) if not is_optional(name)),
    )
    problem = ""
    if needed and not needed & set(state):
        problem = (
            f"it has none of the model's {len(needed)} tensors (its first is {next(iter(state), 'a classifier')!r})"
        )
    elif missing:
        problem = f"{len(missing)} of the model's tensors are missing ({missing[0]})"
    elif left_over:
        problem = f"{len(left_over)} of its tensors have no place in the model ({left_over[0]})"
    if not problem:
        try:
            target.load_state_dict(state, strict=False)
        except RuntimeError as error:
            problem = str(error).splitlines()[-1].strip()
    if problem:
        raise CCAFLError(f"{complaint}: {problem}.")
    return len(state), len(own)


def fingerprint_of(model: nn.Module) -> str:
    """16 hexadecimal digits that name the weights by which a model makes features; its classifier has no part in them.

    Args:
        model: any model, also inside ``nn.DataParallel``.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(unwrap(model).state_dict().items()):
        if not name.startswith("classifier.") and not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
