"""TorchScript archives are read as tensors: the same as torch.jit.load gives, and their program never runs."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ccafl_plugin.models.checkpoint_file import read_file
from ccafl_plugin.models.pretrained import read_weights
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.utils.errors import CCAFLError
from tests.hostile.file_contents import rezipped
from tests.hostile.watching import watched

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")


class QuickGELU(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values * torch.sigmoid(1.702 * values)


class SmallCLIP(nn.Module):
    """Everything that such an archive may hold: parameters, buffers, numbers, lists, a mask that is neither."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), activation)
        self.transformer = nn.ModuleList([nn.MultiheadAttention(4, 2), nn.Linear(4, 4).half()])
        self.logit_scale = nn.Parameter(torch.tensor(2.5))
        self.tied = self.transformer[1]
        self.mask = torch.ones(3)
        self.sizes = [1, 2]
        self.register_buffer("steps", torch.tensor(224))
        self.register_buffer("part", torch.arange(12.0).reshape(3, 4)[1:, ::2])

    def forward(self, images: Tensor) -> Tensor:
        return self.visual(images) * self.logit_scale + self.mask.sum() + self.sizes[0]


@pytest.mark.parametrize("kind", ["scripted", "traced"])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_the_tensors_are_those_of_torchs_own_loader(kind: str, activation: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    clip = SmallCLIP(QuickGELU() if activation == "quick_gelu" else nn.GELU()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.script(clip) if kind == "scripted" else torch.jit.trace(clip, torch.ones(1, 3, 5, 5))
    torch.jit.save(made, tmp_path / "clip.pt")
    with watched() as events:
        contents = read_file(tmp_path / "clip.pt", "key")
    assert events == []
    judge = torch.jit.load(tmp_path / "clip.pt").state_dict()
    assert set(contents.value) == set(judge)
    for key, value in judge.items():
        found = contents.value[key]
        assert found.dtype == value.dtype and found.stride() == value.stride() and torch.equal(found, value), key
    assert contents.activation == activation


class Writer(nn.Module):
    """Its ``__setstate__`` writes a file, which torch.jit.load runs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.zeros(2)
        self.training = False

    @torch.jit.export
    def __getstate__(self):  # type: ignore[no-untyped-def]
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.weight = state[0]
        self.training = state[1]
        torch.save(state[0], "code-has-run")

    def forward(self, values: Tensor) -> Tensor:
        return values


def test_a_program_that_writes_when_it_is_loaded_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    writer = Writer()
    torch.jit.save(torch.jit.script(writer), "evil.pt")
    for route in (lambda: read_weights(Path("evil.pt")), lambda: load_weights(nn.Linear(2, 2), "evil.pt")):
        with pytest.raises(CCAFLError, match=r"^[a-z._]+: 'evil\.pt' is no file of weights: it is empty; [^\n]*$"):
            route()
        assert not Path("code-has-run").exists()
    torch.jit.load("evil.pt")  # it is as bad as it is called
    assert Path("code-has-run").exists()
    count["TorchScript archives that run nothing"] += 1


def test_a_damaged_archive(tmp_path: Path, count: Counter[str]) -> None:
    torch.jit.save(torch.jit.script(SmallCLIP(QuickGELU())), tmp_path / "clip.pt")
    whole = (tmp_path / "clip.pt").read_bytes()
    cases = {
        "no constants": (lambda name, old: b"" if name.endswith("constants.pkl") else old, "is damaged"),
        "no tensors": (lambda name, old: None if "/data/" in name else old, "its member data/0 is missing"),
        "no module": (lambda name, old: b"\x80\x02N." if name.endswith("/data.pkl") else old, "without a module"),
        "code in it": (
            lambda name, old: b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R." if name.endswith("/data.pkl") else old,
            r"it names posix\.system",
        ),
    }
    for change, expected in cases.values():
        (tmp_path / "bad.pt").write_bytes(rezipped(whole, change))
        with pytest.raises(CCAFLError, match=rf"^ccafl\.clip_weights: can't read [^\n]*{expected}[^\n]*$"):
            read_weights(tmp_path / "bad.pt")
        count["TorchScript archives that run nothing"] += 1
