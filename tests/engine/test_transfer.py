"""What is called on a GPU, and in which order, with a GPU that only writes it down."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ccafl_plugin.engine.encoder_pass import ImageTransfer
from ccafl_plugin.engine.loss_report import LossReport


class Recording:
    """A stream, an event or a tensor of a GPU."""

    def __init__(self, name: str, calls: list[str], **facts: Any) -> None:
        self.__dict__.update(facts, _name=name, _calls=calls)

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **settings: Any) -> Any:
            shown = [getattr(value, "_name", value) for value in (*arguments, *settings.values())]
            self._calls.append(f"{self._name}.{method}({', '.join(map(str, shown))})")
            return self.__dict__.get(f"{method}_gives", self)

        return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []

    @contextlib.contextmanager
    def stream(chosen: Recording) -> Any:
        seen.append(f"on {chosen._name}")
        yield
        seen.append(f"off {chosen._name}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Recording("copying", seen))
    monkeypatch.setattr(torch.cuda, "Event", lambda: Recording("event", seen))
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Recording(f"computing on {device}", seen))
    return seen


def test_images_are_copied_on_a_stream_of_their_own(calls: list[str]) -> None:
    transfer = ImageTransfer(torch.device("cuda", 1))
    transfer(Recording("images", calls))
    assert calls == [
        "on copying",
        "images.to(cuda:1, True)",
        "off copying",
        "computing on cuda:1.wait_stream(copying)",
        "images.record_stream(computing on cuda:1)",
    ]


def test_numbers_are_sent_before_and_waited_for_when_they_are_read(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Recording("values", calls, is_cuda=True, device="cuda:1", to_gives=torch.tensor([1.0, 2.0, 2.5]))
    stacked = SimpleNamespace(stack=lambda values: there, cuda=torch.cuda)
    monkeypatch.setattr("ccafl_plugin.engine.loss_report.torch", stacked)
    report = LossReport({"one": {"a": torch.tensor(1.0)}}, [torch.tensor(2.0), torch.tensor(2.5)])
    assert calls == ["values.to(cpu, True)", "event.record(computing on cuda:1)"]
    assert report.read() == {"loss": 4.5, "one/a": 1.0}
    assert calls[2:] == ["event.synchronize()"]


def test_on_a_cpu_images_stay_where_they_are() -> None:
    images = torch.zeros(2, 3, 4, 4)
    assert ImageTransfer(torch.device("cpu"))(images) is images
