"""GPU memory that every shipped configuration needs for training, and what the switches leave of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.report import Report
from benchmarks.training import forget, make_data, make_engine, number, timed, windows
from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.models import BACKBONES

TRAINING_SETS = {"market1501": (3262, 6), "dukemtmcreid": (2196, 8), "msmt17": (4821, 15)}
"""Proxies and cameras, which decide how large memories and classifier are."""

FIRST = tuple(f"{data}/ccafl_{name}.yaml" for data in ("market1501", "msmt17") for name in ("rn50", "vit_b16"))

SWITCHES: dict[str, tuple[str, ...]] = {
    "as shipped": (),
    "gradient_checkpointing": ("ccafl.gradient_checkpointing", "True"),
    "accumulation 4": ("ccafl.accumulation", "4"),
    "both": ("ccafl.gradient_checkpointing", "True", "ccafl.accumulation", "4"),
}


def shipped() -> list[str]:
    """The configurations of CCAFL's engine on the real datasets; those of the paper first."""
    names = [str(file.relative_to(configs_folder())) for file in sorted(configs_folder().glob("*/*.yaml"))]
    names = [name for name in names if name.partition("/")[0] in TRAINING_SETS and name not in FIRST]
    return [name for name in (*FIRST, *names) if load_config(configs_folder() / name).loss.name == "ccafl"]


def measure(
    configs: list[str] | None, iterations: int, settings: tuple[str, ...], device: str
) -> Iterator[dict[str, Any]]:
    """One line per configuration.

    Args:
        configs: names; None for all that are shipped.
        iterations: per set of terms that are active together; the largest peak counts.
        settings: KEY VALUE pairs that change the configurations.
        device: ``cuda``; a CPU has nothing to tell but runs through.
    """
    for name in shipped() if configs is None else configs:
        is_clip = load_config(configs_folder() / name).model.name in BACKBONES
        line: dict[str, Any] = {"configuration": name}
        for switch, pairs in SWITCHES.items():
            possible = is_clip or "ccafl.gradient_checkpointing" not in pairs
            peak = peak_mb(name, (*settings, *pairs), iterations, device) if possible else None
            line[f"{switch} MB"] = number(peak)
        yield line


def peak_mb(name: str, settings: tuple[str, ...], iterations: int, device: str) -> int | None:
    """All that tensors take at the peak: model, optimizer, memories, prompts with the text encoder, activations."""
    try:
        return _peak_mb(name, settings, iterations, device)
    except torch.cuda.OutOfMemoryError:
        return None
    finally:
        forget()


def _peak_mb(name: str, settings: tuple[str, ...], iterations: int, device: str) -> int | None:
    proxies, cameras = TRAINING_SETS.get(name.partition("/")[0], (24, 3))
    engine, config = make_engine(name, proxies, cameras, device, settings)
    data, peaks = make_data(engine, config), []
    for active in windows(engine, config.train.max_epoch):
        engine.active_terms = active
        peaks.append(timed(lambda: engine.forward_backward(data), device, iterations, what=name).peak_mb)
    return max(peaks) if device == "cuda" else None


REPORT = Report(
    name="stage2_memory",
    title="GPU memory of training",
    explained=(
        "MB that tensors take at the peak, with the text encoder and all memories on the GPU. CUDA itself and the "
        "allocator's reserve come on top. A dash: it does not fit, or the model has no such switch."
    ),
    sizes={
        "full": {"configs": None, "iterations": 3, "settings": ()},
        "quick": {
            "configs": ["synthetic/ccafl_tiny.yaml"],
            "iterations": 1,
            "settings": ("train.batch_size", "8", "sampler.num_instances", "2"),
        },
    },
    measure=measure,
    devices=("cuda",),
)
