"""The command line: what it prints, what it writes, and every mistake as one line with its exit code."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchreid
import yaml

from ccafl_plugin.config import default_config, load_config
from ccafl_plugin.config.shipped_files import config_file
from ccafl_plugin.runs import results
from ccafl_plugin.runs.shipped_configurations import shipped_configurations
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.terms import Term
from ccafl_plugin.utils.trees import leaves
from tests.hostile.weight_files import RAN, Touch
from tests.layouts import write_dukemtmcreid, write_market1501
from tests.layouts_torchreid import REPOSITORY, python

SMALL = [
    *["model.name", "clip_tiny", "model.pretrained", "False", "loss.name", "ccafl", "use_gpu", "False"],
    *["data.height", "64", "data.width", "32", "data.workers", "0", "train.print_freq", "1", "train.max_epoch", "2"],
    *["sampler.train_sampler", "ProxySampler", "sampler.num_instances", "2", "train.batch_size", "8"],
    *["ccafl.iters_per_epoch", "2", "ccafl.stage1.epochs", "1", "test.dist_metric", "cosine"],
    *["ccafl.terms.inter.first_epoch", "1", "ccafl.terms.alignment.first_epoch", "1"],
    *["ccafl.terms.ical.first_epoch", "1"],
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    write_market1501(root, identities=6, cameras=3, images=3, test_identities=12)
    write_dukemtmcreid(root, identities=5, cameras=2, images=2, test_identities=12)
    return root


@pytest.fixture
def command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs ``ccafl-train`` in this process: exit code, standard output, standard error."""

    def run(*arguments: str, first: tuple[str, ...] = ()) -> tuple[int, str, str]:
        start = [*first, "--root", str(root)] if "--root" not in first else list(first)
        code = main([*start, *SMALL, "data.save_dir", str(tmp_path / "log"), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_run_prints_what_torchreid_prints(command: Callable, tmp_path: Path) -> None:
    code, out, err = command("test.eval_freq", "1")
    assert code == 0, err
    for line in (
        "Versions: python ",
        "Machine: ",
        "Settings that are not the defaults:\n",
        "=> Loaded Market1501",
        "Building model: clip_tiny",
        "Model complexity: params=",
        "Building ccafl-engine for image-reid",
        "=> Stage 1: learning prompts",
        "=> Start training",
        "=> Final test",
        "##### Evaluating market1501 (source) #####",
        "Elapsed ",
    ):
        assert line in out
    assert out.count("** Results **") == 2
    assert re.search(r"mAP: \d+\.\d%\nCMC curve\nRank-1  : \d+\.\d%\nRank-5 ", out)
    assert re.search(r"epoch: \[2/2\]\[2/2\]\ttime .*\teta 0:00:00\tloss .*ical/adversarial .*\tlr \d", out)
    (log,) = (tmp_path / "log").glob("train.log-*")
    assert log.read_text() == out
    assert out.count("=> Loaded Market1501") == 2
    assert out.count("# images | # cameras") == 1  # source and target are the same
    assert "Summary" not in out
    assert out.count('checkpoint-2.json" (') == 1
    last = out.splitlines()[-1]
    assert last.startswith(f"Written to {tmp_path / 'log'}: checkpoint-1.json, checkpoint-2.json, config.yaml, events.")
    assert last.endswith(
        f"model/, prompts/, proxy_classifier/, results.json, system.txt, {log.name}, weights.safetensors"
    )
    assert out.splitlines()[-2].endswith(f"FeatureExtractor: {tmp_path / 'log' / 'weights.safetensors'}")
    assert {path.name for path in (tmp_path / "log").glob("checkpoint-*")} == {"checkpoint-1.json", "checkpoint-2.json"}


def test_a_resumed_run_ends_where_the_unbroken_one_does(command: Callable, tmp_path: Path) -> None:
    assert command()[0] == 0
    whole = torchreid.utils.load_checkpoint(str(tmp_path / "log" / "model" / "model.pth.tar-2"))["state_dict"]
    resume = ["model.resume", str(tmp_path / "log" / "model" / "model.pth.tar-1")]
    code, out, err = command(*resume, "data.save_dir", str(tmp_path / "again"))
    assert code == 0, err
    assert "Stage 1" not in out
    again = torchreid.utils.load_checkpoint(str(tmp_path / "again" / "model" / "model.pth.tar-2"))["state_dict"]
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


TRAINS_WITH = "Trains with: 1 process, 4 x 2 images, lr 0.0003, BatchNorm, float32"


def test_the_effective_settings_are_in_log_checkpoint_and_results(command: Callable, tmp_path: Path) -> None:
    code, out, err = command()
    assert code == 0, err
    assert out.count(TRAINS_WITH) == 1
    assert out.index(TRAINS_WITH) < out.index("=> Stage 1")
    assert "Differs from" not in out
    in_checkpoint = json.loads((tmp_path / "log" / "checkpoint-1.json").read_text())["effective_settings"]
    assert in_checkpoint == results.read(tmp_path / "log")["effective_settings"]
    assert in_checkpoint == {
        "processes": 1,
        "devices": 1,
        "batch_size": 8,
        "instances": 2,
        "lr": 3e-4,
        "norm": "BatchNorm",
        "precision": "float32",
        "published": "",
        "differences": [],
    }
    _, out, _ = command("model.load_weights", str(tmp_path / "log/model/model.pth.tar-2"), "test.evaluate", "True")
    assert "Trains with:" not in out


def test_a_run_that_leaves_published_settings_says_so(command: Callable, tmp_path: Path) -> None:
    """What differed before a run was resumed still counts."""
    published = tmp_path / "own.yaml"
    published.write_text(yaml.safe_dump({"published": "Somebody, 2025", "ccafl": {"supervision": "full"}}))
    pairs = ["ccafl.published_settings", str(published)]
    assert command(*pairs, "train.max_epoch", "1", "ccafl.terms.icdl.margin", "0.5")[0] == 0
    resume = ["model.resume", str(tmp_path / "log"), "data.save_dir", str(tmp_path / "again")]
    code, out, err = command(*pairs, *resume)
    assert code == 0, err
    first, second = out[out.index(TRAINS_WITH) :].splitlines()[:2]
    assert first == TRAINS_WITH
    assert second.startswith(
        "Differs from the published settings (Somebody, 2025): model.name clip_tiny instead of resnet50"
    )
    for difference in (
        "ccafl.supervision intra_camera instead of full",
        "precision float32 instead of mixed float16",
        "ccafl.terms.icdl.margin 0.5 instead of 0.3 before it was resumed",
    ):
        assert difference in second
        assert (
            difference
            in json.loads((tmp_path / "again" / "checkpoint-2.json").read_text())["effective_settings"]["differences"]
        )
        assert difference in results.read(tmp_path / "again")["effective_settings"]["differences"]
    code, _, err = command(*pairs, *resume, "train.lr", "0.5")
    assert code == 1
    assert re.match(
        r"error: model\.resume: a resumed run keeps these settings: train\.lr 0\.5 \(before 0\.0003\)\. [^\n]*\n$", err
    )
    assert err.count("\n") == 1


def test_a_test_of_a_checkpoint_needs_no_learning_rate(command: Callable, tmp_path: Path) -> None:
    assert command("train.lr", "1e-3")[0] == 0
    terms = ["ccafl.terms.ical.first_epoch", "0", "ccafl.terms.proxy_classifier.first_epoch", "1"]
    code, out, err = command(*terms, "model.resume", str(tmp_path / "log"), "test.evaluate", "True")
    assert code == 0, err
    assert "mAP: " in out


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


def test_evaluation_rerank_and_pictures(command: Callable, tmp_path: Path) -> None:
    _, trained, _ = command()
    weights = ["model.load_weights", str(tmp_path / "log" / "model" / "model.pth.tar-2"), "test.evaluate", "True"]
    code, out, err = command(*weights, "test.visrank", "True", "test.visrank_topk", "3")
    assert code == 0, err
    assert "Stage 1" not in out
    assert out[out.index("** Results **") : out.index("# query")] in trained
    assert len(list((tmp_path / "log" / "visrank_market1501").glob("*.jpg"))) == 36
    code, out, _ = command(*weights, "test.rerank", "True")
    assert code == 0
    assert "Applying person re-ranking ..." in out


def test_several_sources_and_targets(command: Callable) -> None:
    names = ("market1501", "dukemtmcreid")
    code, out, err = command(first=("-s", *names, "-t", *names, "--transforms", "random_flip", "pad_crop"))
    assert code == 0, err
    assert "# source ids      : 11" in out
    assert out.count("# images | # cameras") == 2
    assert out.count(", as above\n") == 2
    assert "# source cameras  : 5" in out
    assert "random crop of 64x32 from the image padded by 10 pixels" in out
    assert "##### Evaluating dukemtmcreid (source) #####" in out
    assert out.count("** Results **") == 2
    assert re.search(r"of 28 proxies", out)  # 6 x 3 + 5 x 2


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_torchreids_own_engines(command: Callable, tmp_path: Path, loss: str) -> None:
    code, out, err = command(
        "loss.name", loss, "train.max_epoch", "1", "sampler.train_sampler", "RandomIdentitySampler"
    )
    assert code == 0, err
    assert f"Building {loss}-engine" in out
    assert out.count(TRAINS_WITH) == 1
    assert "mAP: " in out
    file = str(tmp_path / "log" / "model" / "model.pth.tar-1")
    code, again, err = command("loss.name", loss, "model.load_weights", file, "test.evaluate", "True")
    assert code == 0, err
    assert again[again.index("mAP: ") : again.index("Written to")] in out
    code, _, err = command("loss.name", loss, "model.resume", file, "sampler.train_sampler", "RandomIdentitySampler")
    assert code == 0, err


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


def test_a_run_leaves_its_whole_configuration(command: Callable, tmp_path: Path) -> None:
    """``config.yaml`` loads again and gives the same tree; the log shows what is not a default, as YAML."""
    code, out, err = command("train.lr", "1e-3", "test.ranks", "[1, 2]", "ccafl.terms.icdl.weight", "0.5")
    assert code == 0, err
    again = load_config(tmp_path / "log" / "config.yaml")
    shown = yaml.safe_load(re.search(r"^Settings [^\n]*:\n(.*?)^$", out, re.DOTALL | re.MULTILINE)[1])
    assert dict(leaves(shown)).items() <= dict(leaves(again)).items()
    assert (shown["train"]["lr"], shown["test"]["ranks"], shown["ccafl"]["terms"]["icdl"]) == (
        1e-3, [1, 2], {"weight": 0.5},
    )  # fmt: skip
    differing = {key for key, value in leaves(again) if dict(leaves(default_config()))[key] != value}
    assert differing == set(dict(leaves(shown)))
    assert "PyTorch version: " in (tmp_path / "log" / "system.txt").read_text()
    trained = (tmp_path / "log" / "config.yaml").read_text()
    code, out, err = command("model.resume", str(tmp_path / "log"), "test.evaluate", "True", "train.lr", "1e-3")
    assert code == 0, err
    assert (tmp_path / "log" / "config.yaml").read_text() == trained
    assert load_config(tmp_path / "log" / "test_config.yaml").test.evaluate
    assert re.search(r"Written to [^\n]*: test\.log-[-\d]+, test_config\.yaml, test_system\.txt\n$", out)


def test_without_arguments_usage_and_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    bare = capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    helped = capsys.readouterr().out
    for printed in (bare, helped):
        assert printed.startswith("usage: ccafl-train --config-file FILE")
        assert "docs/configuration.md" in printed
        folder, listed = "", set()
        for line in printed.splitlines():
            if line.startswith("configs/"):
                folder = line
            elif folder and (found := re.fullmatch(r"  (\w+\.yaml) +(\S.{10,90})", line)):
                listed.add(folder + found[1])
        assert listed == set(shipped_configurations())
    assert "configs/market1501/ccafl_rn50.yaml" in listed
    assert all(config_file(name).is_file() for name in listed)
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert re.fullmatch(r"ccafl_plugin \d\S+ \(torch \S+, torchreid \S+\)\n", capsys.readouterr().out)


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


def test_two_dashes_end_the_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The pairs arrive: the root that they name is missing."""
    assert main(["-s", "market1501", "-t", "market1501", "--", "data.root", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith(f"error: data.root: {tmp_path / 'nowhere'} does not exist")


def test_true_command_lines(root: Path, tmp_path: Path) -> None:
    run = python("tools/train.py", "--root", str(root), *SMALL, "data.save_dir", str(tmp_path / "log"))
    assert run.returncode == 0, run.stderr
    assert "Rank-1  : " in run.stdout
    assert "Cython" not in run.stderr


def test_a_mistake_ends_the_program_with_its_exit_code(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--root", str(root), "train.lrr", "1"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(REPOSITORY / "tools" / "train.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith("error: config key: 'train.lrr'")
    assert "Traceback" not in printed.err
