"""Published weights by name, with the licence and the training data of each. None of them comes with this package.

What their authors publish is at Google Drive, without checksums, so nothing here is fetched unless it is asked for.
The data sets are for research only, and DukeMTMC-reID was taken back by its authors in 2019; weights that were trained
on them are for research too, whatever the licence of the code is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ccafl_plugin.models.weights_of_others import Said
from ccafl_plugin.utils.downloads import fetch_from_drive
from ccafl_plugin.utils.errors import CCAFLError, unknown_name

CCAFL = "https://github.com/Trangle12/CLIP-ICS"
CLIPREID = "https://github.com/Syliz517/CLIP-ReID"
TORCHREID = "https://kaiyangzhou.github.io/deep-person-reid/MODEL_ZOO"
RESEARCH = "trained on data for research only"
DATA = {
    "market1501": "Market-1501",
    "dukemtmcreid": "DukeMTMC-reID (taken back by its authors in 2019)",
    "msmt17": "MSMT17",
}


@dataclass(frozen=True)
class ZooEntry:
    """Published weights.

    Attributes:
        identity: of the file at Google Drive.
        page: where its authors publish it.
        said: what is known of it: model, size, training data and licence at least.
    """

    identity: str
    page: str
    said: Said

    @property
    def address(self) -> str:
        """For a browser."""
        return f"https://drive.google.com/file/d/{self.identity}/view"


def _ccafl(data: str, identity: str) -> tuple[str, ZooEntry]:
    said = Said(
        model="clip_rn50",
        size=(256, 128),
        trained_on=f"{DATA[data]}, intra-camera labels, from OpenAI's CLIP RN50",
        licence=f"none stated; {RESEARCH}",
    )
    return f"ccafl_rn50_{data}", ZooEntry(identity, CCAFL, said)


def _clipreid(model: str, data: str, identity: str) -> tuple[str, ZooEntry]:
    backbone = {"rn50": "clip_rn50", "vit_b16": "clip_vit_b16"}[model]
    said = Said(
        model=backbone,
        size=(256, 128),
        trained_on=f"{DATA[data]}, full labels, from OpenAI's CLIP",
        licence=f"code MIT, of the weights none stated; {RESEARCH}",
    )
    return f"clipreid_{model}_{data}", ZooEntry(identity, CLIPREID, said)


def _torchreid(model: str, data: str, identity: str, how: str = "") -> tuple[str, ZooEntry]:
    said = Said(
        model=model,
        size=(256, 128),
        trained_on=f"{DATA[data]}{how}, full labels, from ImageNet",
        licence=f"code MIT, of the weights none stated; {RESEARCH}",
    )
    return f"{model}_{data}", ZooEntry(identity, TORCHREID, said)


ALL_OF_MSMT17 = ", all of its images"

ZOO: dict[str, ZooEntry] = dict(
    (
        _ccafl("market1501", "1-o7XVkheqhIUV_QUayqmp0goO87xSf4Y"),
        _ccafl("dukemtmcreid", "1c_bJlIe42ByHoKBkhNDMfZ56bNv5R3cu"),
        _ccafl("msmt17", "1EI5Bv9Y_bZISW9Cql7-VXIuspfPtcEwc"),
        _clipreid("rn50", "msmt17", "1VdlC1ld3NrQC5Jcx0hntXRb-UaR3tMtr"),
        _clipreid("rn50", "market1501", "1sBqCr5LxKcO9J2V0IvLQPb0wzwVzIZUp"),
        _clipreid("rn50", "dukemtmcreid", "1XXycuux__uDd9WKwaTAQ4W1RjLqnUphq"),
        _clipreid("vit_b16", "msmt17", "1BVaZo93kOksYLjFNH3Gf7JxIbPlWSkcO"),
        _clipreid("vit_b16", "market1501", "1GnyAVeNOg3Yug1KBBWMKKbT2x43O5Ch7"),
        _clipreid("vit_b16", "dukemtmcreid", "1ldjSkj-7pXAWmx8on5x0EftlCaolU4dY"),
        _torchreid("osnet_x1_0", "market1501", "1vduhq5DpN2q1g4fYEZfPI17MJeh9qyrA"),
        _torchreid("osnet_x1_0", "msmt17", "1IosIFlLiulGIjwW3H8uMRmx3MzPwf86x", ALL_OF_MSMT17),
        _torchreid("osnet_x0_25", "market1501", "1z1UghYvOTtjx7kEoRfmqSMu-z62J6MAj"),
        _torchreid("osnet_x0_25", "msmt17", "1Kkx2zW89jq_NETu4u42CFZTMVD5Hwm6e", ALL_OF_MSMT17),
        _torchreid("osnet_ibn_x1_0", "msmt17", "1q3Sj2ii34NlfxA4LvmHdWO_75NDRmECJ", ALL_OF_MSMT17),
        _torchreid("osnet_ain_x1_0", "msmt17", "1SigwBE6mPdqiJMqhuIY4aqC7--5CsMal", ALL_OF_MSMT17),
    )
)
"""Name -> published weights. The identities are those that the authors' pages name; the files were not seen here."""


def zoo_file(name: str, download: bool = False) -> Path:
    """The file of published weights on this machine.

    Args:
        name: one of :data:`ZOO`.
        download: fetch it if it is not there.

    Raises:
        CCAFLError: an unknown name; it is not there and not to be fetched, or can't be.
    """
    if name not in ZOO:
        raise unknown_name("weights", name, ZOO)
    file = Path(torch.hub.get_dir()) / "checkpoints" / f"ccafl_zoo-{name}.pth"
    if file.exists() or download:
        return fetch_from_drive(ZOO[name].identity, file, f"the weights {name}", "name a file of your own")
    raise CCAFLError(
        f"weights: {name!r} is not on this machine. Fetch {ZOO[name].address} by hand and save it as {file}, or add "
        f"--download. Licence: {ZOO[name].said.licence}."
    )
