"""Downloads: https or refused, whole or not there, checked before use; a server on this machine is the network."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchreid

from ccafl_plugin.config.shipped_files import config_file
from ccafl_plugin.integration.torchreid_layout import torchreid_module
from ccafl_plugin.integration.weights import ADDRESSED, NAMED, google_file, hub_file
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.utils import downloads
from ccafl_plugin.utils.errors import CCAFLError
from tests.hostile.file_contents import RAN, good, saved
from tests.hostile.server import Answer, StandIn, stand_in
from tests.hostile.weight_files import CODE
from tests.layouts import write_market1501


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server that the door takes for one with https: a certificate would show nothing here."""
    monkeypatch.setattr(downloads, "SCHEMES", ("https", "http"))
    monkeypatch.setattr(downloads, "TIMEOUT", 5.0)
    with stand_in() as state:
        yield state


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's real cache is used, and code in a file would run here."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fetched(url: str, file: Path, **settings: str) -> Path:
    return downloads.fetch(url, file, "the file", "do without it", **settings)


def failed(url: str, file: Path, reason: str, **settings: str) -> None:
    """One line with the reason, the address, the place and what else to do; nothing is left behind."""
    before = sorted(file.parent.iterdir()) if file.parent.exists() else []
    with pytest.raises(CCAFLError) as error:
        fetched(url, file, **settings)
    message = str(error.value)
    assert re.search(rf"^the file can't be downloaded \([^\n]*{reason}[^\n]*\)\. ", message), message
    assert f"Fetch {url} by a way that you trust and save it as {file}, or do without it." in message
    assert "\n" not in message
    after = sorted(file.parent.iterdir()) if file.parent.exists() else []
    assert after == before


GOOD = saved(good())
DIGEST = hashlib.sha256(GOOD).hexdigest()
ANSWERS: dict[str, tuple[Answer, str]] = {
    "a web page": (Answer(b"<!doctype html><title>Quota exceeded</title>"), "what came is a web page"),
    "an empty answer": (Answer(b""), "what came is an empty file"),
    "half a file": (Answer(GOOD[:300], promised=len(GOOD)), "bytes came|IncompleteRead"),
    "not there": (Answer(status=404), "the server says 404"),
    "not allowed": (Answer(b"{}", status=403), "the server says 403"),
    "another file": (Answer(saved([1])), "what came has another checksum than"),
    "away from http": (Answer(status=302, headers={"Location": "ftp://127.0.0.1/file"}), "it is at ftp://"),
    "to a file of this machine": (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "file://"),
    "round and round": (Answer(status=302, headers={"Location": "/file.pth"}), "the server says 302"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_must_not_be_used_is_not(name: str, server: StandIn, home: Path, count: Counter[str]) -> None:
    server.answers["/file.pth"], reason = ANSWERS[name]
    failed(f"{server.address}/file.pth", home / "cache" / "file.pth", reason, sha256=DIGEST)
    count["answers of a server refused in one line"] += 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.pth", "ftp://127.0.0.1/a.pth", "file:///etc/passwd", "a.pth"])
def test_only_https(url: str, home: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]) -> None:
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", None)  # nothing is asked for
    failed(url, home / "a.pth", "where anyone on the way can put another file in its place")
    count["addresses refused without asking"] += 1


def test_nobody_answers(server: StandIn, home: Path) -> None:
    failed("http://127.0.0.1:9/file.pth", home / "file.pth", "refused")


def test_a_good_file_comes_once(server: StandIn, home: Path) -> None:
    server.answers["/file.pth"] = Answer(GOOD)
    file = home / "cache" / "file.pth"
    for _ in range(2):
        assert fetched(f"{server.address}/file.pth", file, sha256=DIGEST[:8]) == file
    assert file.read_bytes() == GOOD
    assert server.asked == ["/file.pth"]
    assert os.listdir(file.parent) == ["file.pth"]


def test_a_file_with_another_checksum_is_fetched_again(server: StandIn, home: Path) -> None:
    """Such as half a file that another program left there."""
    (home / "file.pth").write_bytes(GOOD[:100])
    server.answers["/file.pth"] = Answer(GOOD)
    fetched(f"{server.address}/file.pth", home / "file.pth", sha256=DIGEST)
    assert (home / "file.pth").read_bytes() == GOOD


def test_something_else_in_the_place(home: Path) -> None:
    os.mkfifo(home / "pipe")
    failed("https://127.0.0.1/pipe", home / "pipe", "it is a pipe, not a file")


PLAIN_HTTP = {
    "se_resnet50": "senet",
    "se_resnext50_32x4d": "senet",
    "se_resnext101_32x4d": "senet",
    "inceptionv4": "inceptionv4",
    "inceptionresnetv2": "inceptionresnetv2",
    "xception": "xception",
    "nasnsetmobile": "nasnet",
}
"""torchreid's models whose weights are at http:// addresses."""


@pytest.mark.parametrize("name", PLAIN_HTTP)
def test_weights_over_plain_http_are_refused(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]
) -> None:
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", None)
    with torch.device("meta"), pytest.raises(CCAFLError) as error:
        torchreid.models.build_model(name, num_classes=2, pretrained=True)
    message = str(error.value)
    assert re.search(r"^model\.pretrained: the file \S+ can't be downloaded \(it is at http://", message), message
    assert f"save it as {home / 'torch' / 'hub' / 'checkpoints'}/" in message
    assert "\n" not in message and message.endswith("or set model.pretrained False for random weights.")
    count["addresses refused without asking"] += 1


def test_no_model_of_torchreids_has_another_door() -> None:
    """Every module that could fetch weights is in the table; a new one of torchreid's is found here."""
    source = {
        file.stem: file.read_text(encoding="utf-8")
        for file in Path(torchreid_module("models").__file__ or "").parent.glob("*.py")
    }
    fetching = {
        name for name, text in source.items() if re.search(r"load_url|gdown|urlopen|urlretrieve|torch\.load", text)
    }
    assert fetching == {*ADDRESSED, *NAMED, "inceptionresnetv2"}


def serve(server: StandIn, monkeypatch: pytest.MonkeyPatch, body: bytes) -> Path:
    """Puts torchreid's ``resnet18`` on the server, under the name with its checksum; returns its place."""
    name = f"resnet18-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    server.answers[f"/{name}"] = Answer(body)
    url = f"{server.address}/{name}"
    monkeypatch.setitem(torchreid_module("models.resnet").model_urls, "resnet18", url)
    return hub_file(url)


def build(name: str = "resnet18") -> torch.nn.Module:
    return torchreid.models.build_model(name, num_classes=2, pretrained=True)


def test_good_imagenet_weights_arrive_in_the_model(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    other = torchreid.models.build_model("resnet18", num_classes=1000, pretrained=False)
    file = serve(server, monkeypatch, saved(other.state_dict()))
    own = build().state_dict()
    assert file.is_file()
    for key, value in other.state_dict().items():
        assert torch.equal(own[key], value) or key.startswith("classifier.")
    build()
    assert len(server.asked) == 1


def test_osnets_weights_arrive_too(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    other = torchreid.models.build_model("osnet_x0_25", num_classes=2, pretrained=False)
    server.answers["/uc?id=1"] = Answer(saved({f"module.{key}": value for key, value in other.state_dict().items()}))
    monkeypatch.setitem(torchreid_module("models.osnet").pretrained_urls, "osnet_x0_25", f"{server.address}/uc?id=1")
    own = build("osnet_x0_25").state_dict()
    assert google_file("osnet_x0_25").is_file()
    assert all(torch.equal(own[key], value) for key, value in other.state_dict().items())


def test_google_drives_page_in_place_of_a_file(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/uc?id=1"] = Answer(b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title>")
    monkeypatch.setitem(torchreid_module("models.osnet").pretrained_urls, "osnet_x0_25", f"{server.address}/uc?id=1")
    with pytest.raises(CCAFLError, match=r"osnet_x0_25_imagenet\.pth can't be downloaded \(what came is a web page"):
        build("osnet_x0_25")
    assert not google_file("osnet_x0_25").exists()


@pytest.mark.parametrize("name", ["in torch.save's archive", "in the oldest layout", "eval"])
def test_code_in_a_download_does_not_run(name: str, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(server, monkeypatch, CODE[name][0]())
    with pytest.raises(CCAFLError, match=r"^model\.pretrained: can't read [^\n]*it names [^\n]*$"):
        build()
    assert not Path(RAN).exists()


def test_weights_of_another_model_are_an_error(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchreid goes on with random weights, without a word."""
    serve(server, monkeypatch, saved(good()))
    with pytest.raises(CCAFLError, match=r"fits none of the model's \d+ tensors: it begins with 'weight'"):
        build()


@pytest.mark.parametrize("name", ["hacnn", "mobilenetv2_x1_0", "shufflenet_v2_x1_5"])
@pytest.mark.filterwarnings("ignore")
def test_a_model_without_weights_is_an_error_of_the_command(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_market1501(home / "root", identities=6, cameras=3, images=3, test_identities=12)
    size = ["data.height", "160", "data.width", "64"] if name == "hacnn" else ["data.height", "64", "data.width", "32"]
    small = [*size, "use_gpu", "False", "data.workers", "0", "train.batch_size", "8", "loss.name", "softmax"]
    code = main(["--root", str(home / "root"), "model.name", name, *small, "data.save_dir", str(home / "log")])
    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith(
        f"error: model.pretrained: torchreid has no ImageNet weights of {name} that can be downloaded; "
    )
    assert err.count("\n") == 1
    assert config_file("configs/market1501/ccafl_rn50.yaml").is_file()


def test_data_sets_are_never_downloaded(home: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]) -> None:
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", None)
    for name, url in (
        ("market1501", "http://188.138.127.15"),
        ("viper", "http://users.soe.ucsc.edu"),
        ("prid", "ask"),
        ("university1652", "https://drive"),
    ):
        with pytest.raises(
            CCAFLError, match=rf"^data\.root: \w+ is not in [^\n]* data sets are not downloaded; [^\n]*{url}"
        ):
            torchreid.data.datasets.init_image_dataset(name, root=str(home / "none"))
        assert not (home / "none" / name).exists()
        count["addresses refused without asking"] += 1
    with pytest.raises(CCAFLError, match="it is at http://"):
        torchreid.utils.download_url("http://127.0.0.1/a.zip", str(home / "a.zip"))
