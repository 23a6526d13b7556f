"""The source of pseudo identities: an association, or the true identities under full supervision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ccafl_plugin.association import associate, keep_unassociated
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.data.samplers import READS_IDENTITIES
from ccafl_plugin.utils.errors import WrongArgument, unknown_name
from ccafl_plugin.utils.ranges import check_arguments

SUPERVISIONS = ("intra_camera", "full")


def check_ids(ids: str, supervision: str) -> None:
    """Checks that full supervision is not used with ids that are valid inside a camera only.

    Raises:
        CCAFLError: full supervision without ids across cameras.
    """
    if ids == "per_camera" and supervision == "full":
        raise WrongArgument(
            "{supervision}: full supervision needs ids that are valid across cameras. Set it to intra_camera, or set "
            "{ids} to across_cameras if your ids are."
        )


@dataclass(frozen=True)
class Supervision:
    """How pseudo identities are obtained.

    Attributes:
        name: ``intra_camera`` or ``full``. Only ``full`` reads labels across cameras.
        association: name of the association, for ``intra_camera``.
        association_options: its arguments.
        keep_unassociated: a proxy without partner becomes its own pseudo identity.
        whitening: above 0, features are whitened before the association, with this shrinkage; 0: they are not.

    Raises:
        CCAFLError: an unknown name.
    """

    name: str = "intra_camera"
    association: str = "nearest_pairs"
    association_options: dict[str, Any] = field(default_factory=dict)
    keep_unassociated: bool = False
    whitening: float = 0.0

    def __post_init__(self) -> None:
        check_arguments(whitening=self.whitening)
        if self.name not in SUPERVISIONS:
            raise unknown_name("{supervision}", self.name, SUPERVISIONS)

    @property
    def is_full(self) -> bool:
        """True if true identities are read."""
        return self.name == "full"

    def check_sampler(self, name: str) -> None:
        """Checks that the sampler reads only labels that the supervision allows.

        Args:
            name: name of the training sampler's class.

        Raises:
            CCAFLError: it reads identities across cameras, but supervision is not full.
        """
        if name in READS_IDENTITIES and not self.is_full:
            raise WrongArgument(
                f"{{train_sampler}}: {name!r} reads identities across cameras. Set {{supervision}} full, "
                "or {train_sampler} ProxySampler."
            )

    def num_classes(self, labels: ProxyLabels) -> int:
        """Number of classes of torchreid's own losses: proxies, or people under full supervision."""
        return int(self.class_of_proxy(labels).max()) + 1

    def class_of_proxy(self, labels: ProxyLabels) -> Tensor:
        """(N,) int64: the class of each proxy: the proxy itself, or its person under full supervision."""
        return labels.person_of_proxy if self.is_full else labels.proxy_of_image.new_tensor(range(labels.num_proxies))

    def pseudo_identities(self, proxy_features: Tensor | None, labels: ProxyLabels) -> Tensor:
        """Pseudo identity of every proxy.

        Args:
            proxy_features: (N, D) float64, unit rows; not read under full supervision.
            labels: of the training set.

        Returns:
            (N,) int64 on the CPU, -1 for none.
        """
        if self.is_full:
            return labels.person_of_proxy
        if proxy_features is None:
            raise ValueError("pseudo_identities: intra-camera supervision associates by features, it got none")
        pseudo = associate(
            proxy_features.cpu(), labels.camera_of_proxy, name=self.association, **self.association_options
        )
        return keep_unassociated(pseudo) if self.keep_unassociated else pseudo
