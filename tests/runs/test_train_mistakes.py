"""The command line: every mistake is one line with its exit code."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchreid

from ccafl_plugin.runs.train_command import main
from ccafl_plugin.terms import Term
from tests.hostile.file_contents import RAN, Touch
from tests.layouts import write_market1501
from tests.layouts_torchreid import REPOSITORY


def test_a_folder_that_cannot_be_written(command: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = command("data.save_dir", str(tmp_path / "file" / "log"))
    assert code == 1
    assert re.match(r"error: data\.save_dir: could not write '[^\n]*log': Not a directory\.\n$", err)


@pytest.mark.parametrize("layer", ["nek", "classifier"])  # the latter is there, but empty
def test_layers_that_are_to_be_opened_first(command: Callable, layer: str) -> None:
    code, _, err = command("train.fixbase_epoch", "1", "train.open_layers", f"[{layer}]")
    assert code == 1
    assert re.match(rf"error: train\.open_layers: '{layer}'[^\n]*neck[^\n]*\n$", err)


@pytest.mark.parametrize("layer", ["nek", "classifier"])  # the latter is torchreid's default
def test_new_layers_of_staged_rates(command: Callable, layer: str) -> None:
    code, _, err = command("train.staged_lr", "True", "train.new_layers", f"[{layer}]")
    assert code == 1
    assert re.match(rf"error: train\.new_layers: '{layer}'[^\n]*neck[^\n]*\n$", err)


@pytest.mark.parametrize("loss", ["softmax", "ccafl"])
@pytest.mark.parametrize("key", ["model.resume", "model.load_weights"])
def test_a_file_that_would_run_code_is_one_line(command: Callable, tmp_path: Path, loss: str, key: str) -> None:
    file = tmp_path / "model" / "model.pth.tar-1"
    file.parent.mkdir()
    torch.save({"state_dict": {"weight": Touch()}, "epoch": 1}, file)
    (tmp_path / "checkpoint-1.json").write_text('{"epoch": 1, "parts": {"model": "model/model.pth.tar-1"}}')
    code, _, err = command("loss.name", loss, key, str(file))
    assert code == 1
    assert re.match(rf"error: {re.escape(key)}: can't read '[^\n]*': it names posix\.system[^\n]*\n$", err)
    assert not Path(RAN).exists()


def test_mistakes_exit_with_2_before_anything_is_loaded(command: Callable, tmp_path: Path) -> None:
    for arguments, fragment in (
        (["train.lrr", "1"], "Did you mean 'train.lr'?"),
        (["model.name", "clip_r50"], "Did you mean 'clip_rn50'?"),
        (["train.batch_size", "9"], "train.batch_size: 9 is not a multiple of sampler.num_instances"),
    ):
        code, out, err = command(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert fragment in err
    assert not (tmp_path / "log").exists()


def test_a_missing_root_is_not_made(command: Callable, tmp_path: Path) -> None:
    code, out, err = command(first=("--root", str(tmp_path / "nowhere")))
    assert (code, out) == (2, "")
    assert re.match(r"error: data\.root: .*nowhere does not exist\. [^\n]*\n$", err)
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_training_folder(command: Callable, tmp_path: Path) -> None:
    folder = write_market1501(tmp_path / "data")
    for picture in (folder.base / "bounding_box_train").iterdir():
        picture.unlink()
    code, _, err = command(first=("--root", str(tmp_path / "data")))
    assert code == 2
    assert re.match(r"error: [^\n]*bounding_box_train[^\n]*\n$", err)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_unreadable_image_is_named(command: Callable, tmp_path: Path, workers: str) -> None:
    folder = write_market1501(tmp_path / "data", cameras=2, test_identities=10)
    broken = sorted((folder.base / "bounding_box_train").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:100])
    code, _, err = command("data.workers", workers, first=("--root", str(tmp_path / "data")))
    assert code == 1
    assert re.match(rf"error: [^\n]*{broken.name}[^\n]*\n$", err)


def test_one_camera_while_association_is_on(command: Callable, tmp_path: Path) -> None:
    write_market1501(tmp_path / "data", identities=8, cameras=1, test_identities=10)
    folder = tmp_path / "data" / "market1501" / "Market-1501-v15.09.15"
    for picture in sorted((folder / "query").iterdir()):  # the test set has two cameras
        picture.rename(picture.with_name(picture.name.replace("_c1", "_c2")))
    code, _, err = command(first=("--root", str(tmp_path / "data")))
    assert code == 1
    assert re.match(r"error: Terms that associate people across cameras \([\w, ]+\) need two cameras, and the", err)
    assert err.count("\n") == 1


def test_queries_without_a_match_in_another_camera(command: Callable, tmp_path: Path) -> None:
    write_market1501(tmp_path / "data", cameras=1)
    code, out, err = command(first=("--root", str(tmp_path / "data")))
    assert code == 1
    assert re.match(r"error: data\.targets: no query of market1501 has a match in another camera[^\n]*\n$", err)
    assert "Building model" not in out


def test_fewer_proxies_than_a_batch_needs(command: Callable) -> None:
    code, _, err = command("train.batch_size", "64")
    assert code == 1
    assert err.startswith("error: train.batch_size: 64 with sampler.num_instances 2 needs")  # keys, not arguments
    assert re.match(r"error: [^\n]*18[^\n]*32[^\n]*\n$|error: [^\n]*32[^\n]*18[^\n]*\n$", err)


def test_a_checkpoint_of_another_model(command: Callable, tmp_path: Path) -> None:
    model = torchreid.models.build_model("osnet_x0_25", num_classes=3, pretrained=False)
    file = tmp_path / "model.pth.tar-1"
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, file)
    code, _, err = command("model.load_weights", str(file))
    assert code == 1
    assert "is a checkpoint of another model than model.name" in err
    assert err.count("\n") == 1
    file.write_bytes(b"no checkpoint at all")
    code, _, err = command("model.load_weights", str(file))
    assert code == 1
    assert "it is a text that begins with 'no checkpoint at all'" in err
    assert err.count("\n") == 1


def test_clip_weights_that_cannot_be_had(command: Callable) -> None:
    code, _, err = command("model.name", "clip_rn50", "model.pretrained", "True")
    assert code == 1
    assert re.match(r"error: [^\n]*RN50\.pt[^\n]*ccafl\.clip_weights[^\n]*\n$", err)


@pytest.mark.parametrize("loss", ["ccafl", "softmax"])
def test_a_size_that_the_backbone_cannot_take(command: Callable, loss: str) -> None:
    text_off = ["ccafl.terms.alignment.enabled", "False", "ccafl.terms.icdl.weight_alignment", "0"]
    code, _, err = command("model.name", "hacnn", "loss.name", loss, *text_off)
    assert code == 1
    assert re.match(
        r"error: data\.height, data\.width: hacnn does not accept images of 64 x 32 pixels \([^\n]*\)\. "
        r"Set data\.height 160 data\.width 64\.\n$",
        err,
    )


def test_imagenet_weights_that_cannot_be_had(command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**settings: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchreid.models, "build_model", unreachable)
    code, _, err = command("model.pretrained", "True", "model.name", "resnet18", "loss.name", "softmax")
    assert code == 1
    assert err == (
        "error: model.pretrained: could not load the weights of resnet18 (<urlopen error no route to host>). "
        "Download them with a network connection, or set model.pretrained False.\n"
    )


def test_a_non_finite_loss_leaves_the_last_checkpoint(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ccafl_plugin.terms import ICALTerm

    def explode(self: Term, batch: object) -> dict[str, torch.Tensor]:
        return {"adversarial": batch.features.sum() * float("nan")}

    monkeypatch.setattr(ICALTerm, "loss", explode)
    code, _, err = command()
    assert code == 1
    assert re.match(r"error: The loss ical/adversarial is nan in epoch 1, iteration 0\. [^\n]*\n$", err)
    assert (tmp_path / "log" / "checkpoint-1.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-s", "market1501", "-t", "market1501", "train.lr", "1"],
            "-t: 'train.lr' looks like a key, but -t takes",
        ),
        (["-s", "market1501", "use_gpu", "False"], "Put -- before the first key: -s market1501 -- KEY VALUE."),
        (["--transforms", "random_flip", "train.lr=1"], "--transforms: 'train.lr=1' looks like a key"),
        (["train.lr", "1", "--root", "x"], "--root: options come before the KEY VALUE pairs"),
        (["train.lr=1"], "train.lr=1: a key and its value are two words. Write train.lr 1"),
    ],
)
def test_swallowed_keys_are_explained(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_a_mistake_ends_the_program_with_its_exit_code(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--root", str(root), "train.lrr", "1"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(REPOSITORY / "tools" / "train.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith("error: config key: 'train.lrr'")
    assert "Traceback" not in printed.err
