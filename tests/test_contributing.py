"""CONTRIBUTING.md: its code blocks run as they stand, what they register trains two iterations, its files exist."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

from ccafl_plugin.association import ASSOCIATIONS, associate
from ccafl_plugin.data.samplers import SAMPLERS
from ccafl_plugin.engine import ImageCCAFLEngine, PromptStage
from ccafl_plugin.models import build_clip
from ccafl_plugin.models.clip import BACKBONES
from ccafl_plugin.options import options
from ccafl_plugin.terms import TERMS, Term
from tests.engine.small_runs import HEIGHT, WIDTH, Recorder, make_manager, make_terms

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## Add an? (\w+)\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
EARLY = {"proxy_classifier": (0, -1), "icdl": (0, -1), "inter": (0, -1), "alignment": (0, -1), "ical": (0, -1)}


@pytest.fixture(autouse=True)
def registries_as_before() -> Iterator[None]:
    """What a block registers is gone after its test."""
    before = [(registry, dict(registry)) for registry in (TERMS, SAMPLERS, ASSOCIATIONS, BACKBONES)]
    yield
    for registry, content in before:
        registry.clear()
        registry.update(content)


def run_block(name: str) -> dict[str, Any]:
    """Runs a block of the page; gives the names that it defines."""
    names: dict[str, Any] = {"__name__": f"contributing_{name}"}
    exec(compile(BLOCKS[name], f"CONTRIBUTING.md, {name}", "exec"), names)
    return names


def train(
    pictures: Path,
    tmp_path: Path,
    model: str = "clip_tiny",
    sampler: str = "ProxySampler",
    more: tuple[Term, ...] = (),
    **settings: Any,
) -> tuple[ImageCCAFLEngine, list[dict[str, float]]]:
    """One epoch of two iterations with every term active; the engine and what each iteration reported."""
    manager = make_manager(pictures, train_sampler=sampler)
    with options.override(input_size=(HEIGHT, WIDTH)):
        built = build_clip(model, num_classes=1, loss="ccafl", pretrained=False)
    optimizer = torchreid.optim.build_optimizer(built, lr=1e-3)
    stage1 = PromptStage(epochs=1, batch_size=16)
    terms = [*make_terms(EARLY), *more]
    engine = ImageCCAFLEngine(manager, built, optimizer, terms=terms, stage1=stage1, seed=1, **settings)
    recorder = Recorder(engine)
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=1)
    assert len(recorder.reports) == 2
    assert all(math.isfinite(value) for report in recorder.reports for value in report.values())
    return engine, recorder.reports


def test_the_page_has_a_block_for_each() -> None:
    assert list(BLOCKS) == ["loss", "sampler", "association", "backbone"]
    assert all(len([line for line in block.splitlines() if line]) <= 11 for block in BLOCKS.values())


def test_a_loss(pictures: Path, tmp_path: Path) -> None:
    run_block("loss")
    _, reports = train(pictures, tmp_path, more=(TERMS["spread"](weight=0.5),))
    assert all(-1 <= report["spread/cosine"] <= 1 for report in reports)


def test_a_sampler(pictures: Path, tmp_path: Path) -> None:
    names = run_block("sampler")
    engine, _ = train(pictures, tmp_path, sampler="RandomProxySampler")
    sampler = engine.train_loader.batch_sampler.sampler
    assert type(sampler) is names["RandomProxySampler"]
    batches = list(sampler.draw_epoch(0))
    assert batches == list(sampler.draw_epoch(0)) != list(sampler.draw_epoch(1))
    assert len(list(sampler)) == len(sampler)


def test_an_association(pictures: Path, tmp_path: Path) -> None:
    run_block("association")
    features = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0, 1], [1, 0.1], [-1, 0.1], [0.2, 1]]), dim=1)
    found = associate(features, torch.tensor([0, 0, 1, 1, 2]), "mutual")
    assert found.tolist() == [0, 1, 0, -1, 1]
    assert associate(features, torch.tensor([0, 0, 1, 1, 2]), "mutual", least=0.99).tolist() == [0, -1, 0, -1, -1]
    engine, _ = train(pictures, tmp_path, association="mutual", association_options={"least": 0.0})
    assert engine.supervision.association == "mutual"


def test_a_backbone(pictures: Path, tmp_path: Path) -> None:
    run_block("backbone")
    engine, _ = train(pictures, tmp_path, model="clip_narrow")
    assert engine.model.feature_dim == 256


def test_its_files_exist() -> None:
    new = {"ccafl_plugin/terms/spread.py", "ccafl_plugin/association/mutual.py"}
    files = set(re.findall(r"`((?:ccafl_plugin|tests)/[\w/.]+)`", PAGE)) | set(re.findall(r"\]\(([^)#]+)\)", PAGE))
    assert new < files
    assert not [file for file in files - new if not (REPOSITORY / file).exists()]
