"""Weights that others wrote: under other keys and names, with classifiers of another size, without counters."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchreid
from torch import Tensor, nn

from ccafl_plugin.models.state_dicts import like_own_names, tensors_of, without_parallel
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.utils.errors import CCAFLError


def net(classes: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = OrderedDict(conv=nn.Conv2d(3, 4, 1), norm=nn.BatchNorm2d(4), classifier=nn.Linear(4, classes))
    return nn.Sequential(layers)


def equal(model: nn.Module, state: dict[str, Tensor], but: str = "classifier.") -> bool:
    own = model.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items() if not name.startswith(but))


OTHERS = net(seed=1).state_dict()
LAYOUTS = {
    "the tensors themselves": OTHERS,
    "torchreid's": {"state_dict": OTHERS, "epoch": 3, "rank1": 0.5},
    "below model": {"model": OTHERS, "epoch": 3},
    "DataParallel": {"state_dict": {f"module.{name}": value for name, value in OTHERS.items()}},
    "DataParallel twice": {f"module.module.{name}": value for name, value in OTHERS.items()},
    "DataParallel around a part": {name.replace("norm.", "norm.module."): value for name, value in OTHERS.items()},
    "from before torch 0.4.1": {name: value for name, value in OTHERS.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[name], tmp_path / "w")
    model = net()
    load_weights(model, str(tmp_path / "w"))
    assert equal(model, OTHERS, but="nothing")
    parallel = net()
    load_weights(nn.DataParallel(parallel), str(tmp_path / "w"))
    assert equal(parallel, OTHERS, but="nothing")


def test_a_model_that_has_a_module_called_module_keeps_it() -> None:
    names = ["encoder.module.weight", "module.bias"]
    state = dict.fromkeys(names, torch.zeros(1))
    assert list(like_own_names(state, names)) == names
    assert list(like_own_names(state, ["encoder.weight", "bias"])) == ["encoder.weight", "bias"]
    assert without_parallel("modules.0.module.weight") == "modules.0.weight"


@pytest.mark.parametrize("name", ["hacnn", "pcb_p4", "osnet_x0_25"])
def test_classifiers_of_another_number_of_people(name: str, tmp_path: Path) -> None:
    """hacnn has two of them, PCB one for each part."""
    other = torchreid.models.build_model(name, num_classes=7, pretrained=False)
    torch.save({"state_dict": other.state_dict()}, tmp_path / "w")
    model = torchreid.models.build_model(name, num_classes=4, pretrained=False)
    before = {key: value.clone() for key, value in model.state_dict().items() if key.startswith("classifier")}
    load_weights(model, str(tmp_path / "w"))
    assert equal(model, other.state_dict(), but="classifier")
    assert before and equal(model, before, but="nothing")


def test_what_was_found_is_named(tmp_path: Path) -> None:
    cases = {
        "none of the model's": {"backbone.0.weight": torch.zeros(2)},
        r"1 of the model's tensors are missing \(norm\.bias\)": {k: v for k, v in OTHERS.items() if k != "norm.bias"},
        r"1 of its tensors have no place in the model \(extra\)": {**OTHERS, "extra": torch.zeros(1)},
        "size mismatch for conv.weight": {**OTHERS, "conv.weight": torch.zeros(1, 3, 1, 1)},
    }
    for expected, content in cases.items():
        torch.save(content, tmp_path / "w")
        with pytest.raises(CCAFLError, match=rf"^model\.load_weights: [^\n]*another model[^\n]*{expected}[^\n]*$"):
            load_weights(net(), str(tmp_path / "w"))


def test_tensors_of_names_the_place() -> None:
    with pytest.raises(CCAFLError, match=r"^key: 'file' is no file of weights: its 'state_dict' is a list; "):
        tensors_of({"state_dict": [1]}, "file", "key")
    assert tensors_of({"state_dict": {}}, "file", "key", empty=True) == {}
