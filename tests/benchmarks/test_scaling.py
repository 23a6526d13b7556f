"""The formulas of docs/scaling.md, against real tensors at a small size."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from benchmarks import cost_table, growth, scaling
from benchmarks.growth import BY_PROXIES, WORK_BY_IMAGES, WORK_BY_PROXIES, Setting
from benchmarks.rows import ROWS
from benchmarks.scaling import SCALING, tables
from ccafl_plugin.association import associate, best_matches, blocks, closest
from ccafl_plugin.engine.extraction import extract
from ccafl_plugin.engine.text_side import Prompts
from ccafl_plugin.losses import ClusterMemory, HybridMemory, ProxyClassifier
from ccafl_plugin.models import PromptLearner
from ccafl_plugin.suites.generated_pages import with_part

SMALL = Setting(
    proxies=12, images=10, cameras=3, dim=5, text_dim=7, text_width=6, prompt_length=2, instances=4, batch=3
)


def size_of(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def size_of_training(module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Parameters, gradients and the optimizer's moments; its counters of steps don't grow."""
    parameters = list(module.parameters())
    moments = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    return size_of(*parameters, *(parameter.grad for parameter in parameters), *moments)


def test_hybrid_memory():
    memory = HybridMemory([3, 5, 4], SMALL.dim, SMALL.instances)
    assert growth.hybrid_memory(SMALL) == size_of(*memory.buffers())


def test_proxy_classifier():
    classifier = ProxyClassifier(SMALL.proxies, SMALL.dim)
    optimizer = torch.optim.Adam(classifier.parameters())
    classifier.learn(torch.randn(3, SMALL.dim), torch.tensor([0, 5, 11]), optimizer)
    assert growth.proxy_classifier(SMALL) == size_of_training(classifier, optimizer)


def test_cluster_memory():
    memory = ClusterMemory(SMALL.proxies, SMALL.dim)
    assert growth.cluster_memory(SMALL) == size_of(*memory.buffers())


def test_prompts():
    encoder = SimpleNamespace(
        width=SMALL.text_width,
        context_length=77,
        device=torch.device("cpu"),
        token_embedding=nn.Embedding(49408, SMALL.text_width),
    )
    prompts = Prompts(PromptLearner(SMALL.proxies, encoder, SMALL.prompt_length), SMALL.text_dim)
    optimizer = torch.optim.Adam(prompts.learner.parameters())
    prompts.learner.embeddings(torch.tensor([0, 3])).sum().backward()
    optimizer.step()
    assert growth.prompts(SMALL) == size_of_training(prompts.learner, optimizer) + size_of(prompts.features)


def test_features():
    batches = [{"img": torch.randn(5, 3, 2, 2)} for _ in range(2)]
    found = extract(batches, lambda images: torch.ones(len(images), SMALL.dim), torch.device("cpu"))
    assert growth.features(SMALL) == size_of(found, found.double())


@pytest.mark.parametrize("name", ["nearest_pairs", "margin"])
def test_associations(name, monkeypatch):
    """What they hold at the peak grows as the formula says, with pieces so small that they don't count."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 1 << 12)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 8)
    monkeypatch.setattr(closest, "SPARE_CANDIDATES", 100)
    for module in (closest, best_matches):
        monkeypatch.setattr(module, "REFINED_AT_ONCE", 1 << 12)

    def peak(count):
        generator = torch.Generator().manual_seed(0)
        cameras = torch.arange(count) % 3
        people = torch.randn(count // 3, 1024, generator=generator, dtype=torch.float64).repeat_interleave(3, dim=0)
        features = people + 0.5 * torch.randn(count, 1024, generator=generator, dtype=torch.float64)
        tracemalloc.start()
        associate(features, cameras, name)
        found = tracemalloc.get_traced_memory()[1] + size_of(features)
        tracemalloc.stop()
        return found

    (formula,) = (memory.size for memory in BY_PROXIES if name in memory.name)
    peak(30)  # imports what it needs
    expected = formula(Setting(proxies=600, dim=1024, cameras=3))
    assert peak(900) - peak(300) == pytest.approx(expected, rel=0.15)


def test_what_a_proxy_takes():
    parts = [memory.size for memory in BY_PROXIES if memory.where == "GPU"]
    one, two = (sum(part(replace(SMALL, proxies=count)) for part in parts) for count in (1, 2))
    assert scaling._bytes_per_proxy(SMALL) == two - one


@pytest.mark.parametrize("part", [*WORK_BY_PROXIES, *WORK_BY_IMAGES], ids=lambda part: part.name)
def test_the_time_at_the_measured_size_is_the_measured_time(part):
    """Work and rate count the same thing."""
    if part.row == "stage2":
        lines = [("step: a", 300.0), ("step: a", 400.0), ("step: b", 350.0), ("extraction", 900.0)]
        figures = [{"work": f"{work}, 128 images, cuda", "images/s": rate} for work, rate in lines]
        figures.append({"work": "extraction, 8 images, cpu", "images/s": 1000.0})
        assert part.measured({"figures": figures}) == {"extraction": 900, "the encoder's steps": 350}[part.name]
        assert part.measured({"figures": []}) is None
        return
    size = ROWS[part.row].size("full")
    rate = part.measured({"ours": {"seconds": 2.0, "size": size}})
    once = Setting(
        proxies=size.get("proxies_", 0),
        images=size.get("gallery", size.get("prompts", 0)),
        cameras=growth.ROW_CAMERAS,
        queries=size.get("queries", 0),
        iterations=1,
        stage1_epochs=1,
    )
    assert part.amount(once) / rate == pytest.approx(2)


def test_times_come_from_the_newest_results(tmp_path):
    def results(gpu, rows):
        head = {"date": "2025-01-01", "machine": "M", "threads": 2, "GPU": gpu}
        return {"head": head, "size": "full", "rows": rows, "reports": []}

    row = {"name": "evaluate_features", "ours": {"seconds": 100.0, "size": ROWS["evaluate_features"].size("full")}}
    (tmp_path / "cpu.json").write_text(json.dumps(results("none", [row])))
    lines = tables(tmp_path).splitlines()
    (line,) = (line for line in lines if "evaluation of 10 000 queries" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")][-2:] == ["17 min", "29 h"]
    # A table without any rate has no columns of times.
    assert sum(cell.strip() == "-" for line in lines for cell in line.split("|")) == 2 * 4
    assert lines[-1] == "Rates of CPU: 2025-01-01, M, 2 threads. A dash: not measured there."
    (tmp_path / "gpu.json").write_text(json.dumps(results("H", [row])))
    assert "GPU, 1e+08 |" in tables(tmp_path)


def test_the_page_is_what_the_newest_results_give():
    text = SCALING.path.read_text(encoding="utf-8")
    assert with_part(SCALING, cost_table.RESULTS) == text, (
        f"docs/scaling.md is behind the newest results: {SCALING.command}"
    )


def test_units():
    assert [scaling._bytes(value) for value in (5e5, 2.5e9, 2.46e12)] == ["0.5 MB", "2.5 GB", "2.46 TB"]
    assert [scaling._duration(value) for value in (1, 100, 150, 7201, 2e5, 1e9)] == [
        *("1 s", "100 s", "2 min", "2 h", "2 days", "32 years"),
    ]


def test_the_command_prints(capsys):
    assert scaling.main([]) == 0
    assert "ICDL's memory" in capsys.readouterr().out
