"""The registry of association methods, and the numbering of pseudo identities. The methods are in their own modules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError, unknown_name

ASSOCIATIONS: dict[str, Callable[..., Tensor]] = {}


def register_association(name: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorator that makes an association method available by name.

    The function takes ``features`` ((N, D) float32 or float64, finite) and ``cameras`` ((N,) int64), both on the CPU.
    Its options are keyword arguments with defaults. It returns (N,) int64 pseudo identities, -1 for a proxy without
    partner, numbered in the order of each pseudo identity's first proxy.

    Raises:
        CCAFLError: the name is taken.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if name in ASSOCIATIONS:
            raise CCAFLError(f"association {name!r} is already registered. Choose another name.")
        ASSOCIATIONS[name] = function
        return function

    return register


def associate(features: Tensor, cameras: Tensor, name: str = "nearest_pairs", **options: object) -> Tensor:
    """Groups proxies of different cameras that are likely the same person.

    Args:
        features: (N, D) float, one feature per proxy (normalised mean over its images), on any device.
        cameras: (N,) int64, camera of each proxy.
        name: association method, one of ``ASSOCIATIONS``.
        **options: options of this method, e.g. ``rate`` of ``nearest_pairs``.

    Returns:
        (N,) int64 on the CPU: pseudo identities from 0 in the order of their first proxy, -1 for none.

    Raises:
        CCAFLError: an unknown name or option, shapes that do not match, or features that are not finite.
    """
    function, features, cameras = checked(features, cameras, name, options)
    return function(features, cameras, **options)


def checked(
    features: Tensor, cameras: Tensor, name: str, options: Mapping[str, object]
) -> tuple[Callable[..., Tensor], Tensor, Tensor]:
    """The function of a method, and the features and cameras as it takes them; arguments as in :func:`associate`.

    Raises:
        CCAFLError: as :func:`associate` does.
    """
    check_options(name, options)
    wide = torch.promote_types(features.dtype, torch.float32)
    features, cameras = features.detach().to("cpu", wide), cameras.detach().to("cpu", torch.int64)
    if features.ndim != 2 or cameras.shape != features.shape[:1]:
        raise CCAFLError(
            "association needs features (N, D) and cameras (N,), "
            f"got {tuple(features.shape)} and {tuple(cameras.shape)}."
        )
    if not bool(torch.isfinite(features).all()):
        raise CCAFLError(
            "association: the proxies' features contain values that are not finite. Training has diverged: lower the "
            "learning rate."
        )
    return ASSOCIATIONS[name], features, cameras


def check_options(name: str, options: Iterable[str]) -> None:
    """Raises a CCAFLError if the method is unknown, or an option is not its own."""
    if name not in ASSOCIATIONS:
        raise unknown_name("{association}", name, ASSOCIATIONS)
    known = list(inspect.signature(ASSOCIATIONS[name]).parameters)[2:]
    for option in options:
        if option not in known:
            raise unknown_name(f"option of association {name!r}", option, known)


def keep_unassociated(pseudo: Tensor) -> Tensor:
    """Makes each proxy without partner its own pseudo identity.

    Args:
        pseudo: (N,) int64, -1 for none.

    Returns:
        (N,) int64 without -1; the new identities are numbered after the existing ones, in proxy order.
    """
    alone = pseudo < 0
    if pseudo.numel() == 0:
        return pseudo.clone()
    return torch.where(alone, pseudo.max().clamp(min=-1) + alone.cumsum(0), pseudo)


def number_groups(roots: Iterable[int]) -> Tensor:
    """Numbers groups of proxies as pseudo identities.

    Args:
        roots: for each of the N proxies, the lowest proxy of its group.

    Returns:
        (N,) int64: groups numbered in the order of their first proxy, -1 for groups of one.
    """
    root = torch.as_tensor(list(roots), dtype=torch.int64)
    # torch.unique sorts, so groups are in the order of their first proxies
    first, group, counts = torch.unique(root, return_inverse=True, return_counts=True)
    several = counts > 1
    number = torch.where(several, several.cumsum(0) - 1, -1)
    return number[group] if first.numel() else root
