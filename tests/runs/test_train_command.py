"""The command line: what it prints and what it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchreid
import yaml

from ccafl_plugin.config import default_config, load_config
from ccafl_plugin.config.shipped_files import config_file
from ccafl_plugin.runs import results
from ccafl_plugin.runs.shipped_configurations import shipped_configurations
from ccafl_plugin.runs.train_command import main
from ccafl_plugin.utils.trees import leaves
from tests.layouts_torchreid import python
from tests.runs.small_commands import SMALL


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


def test_two_dashes_end_the_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The pairs arrive: the root that they name is missing."""
    assert main(["-s", "market1501", "-t", "market1501", "--", "data.root", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith(f"error: data.root: {tmp_path / 'nowhere'} does not exist")


def test_true_command_lines(root: Path, tmp_path: Path) -> None:
    run = python("tools/train.py", "--root", str(root), *SMALL, "data.save_dir", str(tmp_path / "log"))
    assert run.returncode == 0, run.stderr
    assert "Rank-1  : " in run.stdout
    assert "Cython" not in run.stderr
