"""Loads the weights of a trained model from a checkpoint in torchreid's format (``model.load_weights``)."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from ccafl_plugin.models.checkpoint_file import read_part
from ccafl_plugin.models.state_dicts import is_of_classifier, is_optional, like_own_names, tensors_of
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError


def load_weights(model: nn.Module, path: str) -> None:
    """Loads a model's weights. A classifier of another size is skipped; all other tensors must match.

    torchreid's own ``load_pretrained_weights`` silently skips every tensor that does not match.

    Args:
        model: any model, also inside ``nn.DataParallel``.
        path: a checkpoint file, e.g. ``log/model/model.pth.tar-50``.

    Raises:
        CCAFLError: the file is not a checkpoint, or it is of another model.
    """
    key = "model.load_weights"
    target = unwrap(model)
    own = target.state_dict()
    state = like_own_names(tensors_of(read_part(path, key), path, key), own)
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
        raise CCAFLError(f"model.load_weights: {path!r} is a checkpoint of another model than model.name: {problem}.")
    print(f'Loaded {len(state)} of {len(own)} tensors from "{path}"')


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
