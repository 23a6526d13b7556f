"""Several processes train as one: losses, weights and scores; resuming with another number of them."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.encoder_pass import EncoderPass
from ccafl_plugin.engine.process_agreement import check_agreement, check_alike, checksum
from ccafl_plugin.engine.shared_loading import epoch_loader, seeded
from ccafl_plugin.terms import Term
from ccafl_plugin.utils import machine_memory
from ccafl_plugin.utils.distributed import num_processes
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import pin_global_state
from tests.engine.small_runs import Recorder, make_engine, make_manager, make_terms, weights, write_pictures
from tests.engine.test_step import run, with_batch_norms_on_running_statistics
from tests.ranks import Ranks, in_ranks

EPOCHS = 3


class Trained:
    """What a run has computed, so that it can be sent."""

    def __init__(self, engine: ImageCCAFLEngine, reports: list[dict[str, float]], before: dict[str, Tensor]) -> None:
        self.reports, self.weights, self.results = reports, weights(engine), engine.results
        pairs = [(before[name].double(), tensor.double()) for name, tensor in self.weights.items()]
        self.moved = max(float((new - old).abs().max()) for old, new in pairs)


def training(few_pictures: Path, folder: Path, **settings: Any) -> Callable[[int], Trained]:
    """A run over every term and both stages, with fixed batch norms, in float64."""

    def train(_: int) -> Trained:
        warnings.simplefilter("error", FutureWarning)  # that every user would see
        engine = with_batch_norms_on_running_statistics(make_engine(few_pictures, **settings))
        before = weights(engine)
        return Trained(engine, run(engine, folder, eval_freq=1), before)

    return train


@pytest.fixture(scope="module")
def alone(few_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    return in_ranks(1, training(few_pictures, folder / "log"), folder)[0]


def assert_as(found: Trained, expected: Trained) -> None:
    assert found.results == expected.results
    assert len(found.reports) == len(expected.reports) == 2 * EPOCHS
    for ours, theirs in zip(found.reports, expected.reports, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
    for name, tensor in expected.weights.items():
        assert torch.allclose(found.weights[name].double(), tensor.double(), rtol=0, atol=1e-6), name


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_train_as_one(
    processes: int, few_pictures: Path, alone: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every term, stage 1 and two borders of epochs, with a test after each; three processes don't divide 8 images.

    The two begin with a model that is wrapped already, the three without shared memory.
    """
    if processes == 3:
        monkeypatch.setattr(machine_memory, "SHARED_MEMORY", str(tmp_path / "missing"))
    assert alone.moved > 1e-3
    wrap = DistributedDataParallel if processes == 2 else None
    ranks = Ranks(processes, training(few_pictures, tmp_path / "log", wrap=wrap), tmp_path)
    for found in ranks.results():
        assert_as(found, alone)
    first, *others = map(ranks.output, range(processes))
    assert f"Trains with: {processes} processes, 4 x 2 images together" in first
    assert f"Every batch is shared by {processes} processes" in first and "** Results **" in first
    assert ("has no room for the resized training images: each of the 3 processes" in first) == (processes == 3)
    for text in others:
        assert "Trains with" not in text and "epoch" not in text
    assert sorted(file.name for file in (tmp_path / "log").glob("events*")) and not (tmp_path / "log2").exists()
    assert len(list((tmp_path / "log").glob("events*"))) == 1


def test_more_processes_than_images(tmp_path: Path) -> None:
    """Two training images, one query: a process has no image of its own, and nothing is kept in memory."""
    root = write_pictures(tmp_path / "data", identities=2, cameras=2)
    kept = {"bounding_box_train/0001_c1s1_000000_01.jpg", "bounding_box_train/0002_c2s1_000000_01.jpg"}
    for file in root.rglob("*.jpg"):
        name = f"{file.parent.name}/{file.name}"
        if name not in kept and not (name.startswith("bounding_box_test") or name.startswith("query/0501_c1")):
            file.unlink()

    def train(_: int) -> Trained:
        manager = make_manager(root, batch_size_train=2, num_instances=1)
        settings: dict[str, Any] = {"terms": make_terms({"icdl": (0, -1)})}
        engine = with_batch_norms_on_running_statistics(make_engine(root, manager, **settings))
        record, before = Recorder(engine), weights(engine)
        engine.run(save_dir=str(tmp_path / f"log-{num_processes()}"), max_epoch=1)
        return Trained(engine, record.reports, before)

    (right,) = in_ranks(1, train, tmp_path / "alone")
    for found in in_ranks(3, train, tmp_path / "three"):
        assert found.results == right.results
        for ours, theirs in zip(found.reports, right.reports, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
        for name, tensor in right.weights.items():
            assert torch.allclose(found.weights[name].double(), tensor.double(), rtol=0, atol=1e-6), name


def test_two_processes_then_one_then_three(few_pictures: Path, alone: Trained, tmp_path: Path) -> None:
    def part(processes: int, first: int) -> Any:
        def train(_: int) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
            engine = with_batch_norms_on_running_statistics(make_engine(few_pictures))
            assert first == 0 or engine.resume(str(tmp_path / "log")) == first
            engine.test = lambda **_: 0.0
            record = Recorder(engine)
            engine.run(save_dir=str(tmp_path / "log"), max_epoch=first + 1, start_epoch=first)
            return record.reports, weights(engine)

        return in_ranks(processes, train, tmp_path / f"group-{first}")[-1]

    parts = [part(processes, epoch) for epoch, processes in enumerate((2, 1, 3))]
    for ours, theirs in zip([report for reports, _ in parts for report in reports], alone.reports, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
    for name, tensor in alone.weights.items():
        assert torch.allclose(parts[-1][1][name].double(), tensor.double(), rtol=0, atol=1e-6), name


class TwoHeads(nn.Module):
    """A raw feature, and an embedding from a part of its own; one parameter has no part in anything."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.head, self.embed = nn.Linear(12, 4), nn.Linear(4, 3), nn.Linear(4, 2)
        self.idle = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden = self.trunk(images.flatten(1)).tanh()
        return self.head(hidden), self.embed(hidden), None


def gradients(
    batch_size: int, parts: int, with_text: bool, steps: int, every: int = 1
) -> list[dict[str, Tensor | None]]:
    """Of some steps, for the parameters by name; the loss compares images of a batch: all, or every third one."""
    model = TwoHeads().double()
    encoder, found = EncoderPass(model, parts=parts), []
    for step in range(steps):
        images = torch.randn(batch_size, 3, 2, 2, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        outputs = encoder.forward(images).of(torch.arange(0, batch_size, every))
        loss = outputs.features @ outputs.features.T
        if with_text and outputs.embeddings is not None:
            loss = loss * (outputs.embeddings @ outputs.embeddings.T)
        model.zero_grad(set_to_none=True)
        encoder.backward(loss.exp().sum())
        found.append({name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()})
        model.head.requires_grad_(step % 2 == 1)  # other parameters are trained
    return found


def test_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    """Batches that don't divide, that are too small to be shared, and that run in parts.

    Outputs that nothing reads, and processes of whose images nothing is kept (as by ``ccafl.robust_labels``).
    """
    cases = [
        (7, 1, True, 2),
        (7, 1, False, 2),
        (2, 1, True, 1),
        (5, 2, True, 1),
        (6, 2, True, 1),
        (14, 2, False, 1),
        (7, 1, True, 1, 3),
    ]
    expected = [gradients(size, 1, *more) for size, _, *more in cases]
    for ours in in_ranks(3, lambda _: [gradients(*case) for case in cases], tmp_path):
        for case, found, right in zip(cases, ours, expected, strict=True):
            for mine, theirs in zip(found, right, strict=True):
                for name, gradient in theirs.items():
                    if gradient is None:
                        assert mine[name] is None, (case, name)
                    else:
                        assert mine[name] is not None and torch.allclose(mine[name], gradient), (case, name)
    assert expected[0][0]["idle"] is None and expected[1][0]["embed.weight"] is None
    assert expected[0][1]["head.weight"] is None


def images_of(manager: Any, epoch: int = 0, workers: int = 0) -> list[dict[str, Any]]:
    manager.train_loader.num_workers = workers
    return list(epoch_loader(manager.train_loader, 1, epoch))


def test_pictures_depend_on_no_number_of_workers_or_processes(few_pictures: Path, tmp_path: Path) -> None:
    manager = make_manager(few_pictures)
    manager.train_loader.batch_sampler.sampler.set_epoch(0)
    whole = images_of(manager)
    again, by_workers = images_of(manager), images_of(manager, workers=2)
    for batch, other, third in zip(whole, again, by_workers, strict=True):
        assert torch.equal(batch["img"], other["img"]) and torch.equal(batch["img"], third["img"])
    assert not torch.equal(whole[0]["img"], images_of(manager, epoch=1)[0]["img"])

    shares = in_ranks(3, lambda _: images_of(manager), tmp_path)
    for rank, batches in enumerate(shares):
        for batch, right in zip(batches, whole, strict=True):
            assert torch.equal(batch["img"], right["img"][rank::3])
            assert batch["impath"] == right["impath"]
            for name in ("pid", "camid", "dsetid"):
                assert torch.equal(batch[name], right[name])


def test_drawing_for_an_image_leaves_the_random_state() -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    pin_global_state(1)
    expected = draws(), draws()
    pin_global_state(1)
    found = draws()
    with seeded(5):
        first = draws()
    assert (found, draws()) == expected
    with seeded(5):
        assert draws() == first
    assert first not in expected


class Remembering(Term):
    """A term with a memory."""

    name = "remembering"

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.memory = nn.Module()
        self.memory.register_buffer("rows", rows)


def test_what_comes_apart_is_named(tmp_path: Path) -> None:
    def compare(rank: int) -> list[Any]:
        rows = torch.linspace(-1, 1, 12).view(4, 3)
        pseudo = torch.tensor([0, 1, 1])
        found: list[Any] = [check_agreement([Remembering(rows.clone())], pseudo, 4)]
        rounded = rows + 1e-6 * rank
        found += [check_agreement([Remembering(rounded)], pseudo, 4), torch.equal(rounded, rows)]
        for term, groups in ((Remembering(rows + rank), pseudo), (Remembering(rows), pseudo + rank)):
            with pytest.raises(CCAFLError) as error:
                check_agreement([term], groups, 4)
            found.append(str(error.value))
        with pytest.raises(CCAFLError) as error:
            check_alike({"the seed": 1, "the training list": 10 + rank})
        found.append(str(error.value))
        with pytest.raises(CCAFLError) as error:
            check_alike({"lr": 1, "momentum": 2} if rank else {"lr": 1})
        found.append(str(error.value))
        with pytest.raises(CCAFLError) as error:
            check_agreement([], None, 0, nn.Embedding.from_pretrained(torch.full((2, 1), float(rank))))
        return [*found, str(error.value)]

    for same, rounding, equal, memory, groups, facts, missing, model in in_ranks(2, compare, tmp_path):
        assert same == [] and equal
        assert rounding == [
            "=> Epoch 5: the rounding of remembering's memory.rows differed between processes (by 1e-06)"
        ]
        assert "in epoch 4: remembering's memory.rows is another in process 1 than in process 0 (by up to 1)" in memory
        assert "the pseudo identities is another" in groups
        assert facts.startswith("process 1 of 2 has the training list 11, but process 0 has 10.")
        assert missing.startswith("process 1 of 2 has momentum 2, but process 0 has nothing there.")
        assert "the model's weight is another" in model


def test_processes_that_would_train_otherwise_are_refused(few_pictures: Path, tmp_path: Path) -> None:
    """Programs of one's own, whose processes got other arguments; and what comes apart although all had the same."""

    def train(rank: int) -> list[str]:
        found = []

        def refused(engine: ImageCCAFLEngine, **settings: Any) -> None:
            with pytest.raises(CCAFLError) as error:
                engine.run(save_dir=str(tmp_path / f"log-{len(found)}"), max_epoch=1, **settings)
            assert error.value.of_all
            found.append(str(error.value))

        def terms(weight: float = 1.0) -> list[Term]:
            return make_terms({"icdl": (0, -1)}, icdl={"weight": weight, "weight_alignment": 0.0})

        refused(make_engine(few_pictures, terms=terms(weight=1.0 + rank)))
        refused(make_engine(few_pictures, make_manager(few_pictures, batch_size_train=8 - 4 * rank), terms=terms()))
        engine = make_engine(few_pictures, terms=terms())
        refused(engine, eval_freq=1 + rank)
        iterate = engine._iterate

        def leave(data: dict[str, Any]) -> dict[str, float]:
            report = iterate(data)
            with torch.no_grad():
                engine.model.neck.weight += rank
            return report

        engine._iterate = leave
        refused(engine)
        return found

    for term, batch, test, weights_ in in_ranks(2, train, tmp_path):
        assert "process 1 of 2 has the term icdl with {'weight': 2.0," in term
        assert "process 1 of 2 has batch_size = 4, but process 0 has 8." in batch
        assert "process 1 of 2 has eval_freq = 2, but process 0 has 1." in test
        assert "The processes have come apart in epoch 0: the model's neck.weight is another in process 1" in weights_


def test_checksums_see_places_and_bits() -> None:
    rows = torch.arange(6.0)
    assert checksum(rows) == checksum(rows.view(2, 3).clone())
    assert len({checksum(rows), checksum(rows.flip(0)), checksum(rows + 1e-6), checksum(-rows)}) == 4


def test_torchrun_without_a_group_is_one_line(few_pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CCAFLError, match=r"torchrun has started 2 processes, but they have no process group\. Call "):
        make_engine(few_pictures)
