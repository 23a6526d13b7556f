"""Steps of stage 2 and extraction, beside a plain float32 loop and under every switch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.report import Report
from benchmarks.steps import step as begin_step
from benchmarks.training import (
    Timing,
    encoder_step,
    forget,
    make_data,
    make_engine,
    number,
    plain_step,
    pool_as_open_clip,
    timed,
    waits,
    windows,
)
from ccafl_plugin.engine.encoder_pass import narrow_type
from ccafl_plugin.engine.extraction import extract, unit_features

FLOAT32 = ("ccafl.amp", "False")
PLAIN = (*FLOAT32, "ccafl.channels_last", "False")
SWITCHES: dict[str, tuple[str, ...]] = {
    "fp32": FLOAT32,
    "fp32, matmul_precision high": (*FLOAT32, "ccafl.matmul_precision", "high"),
    "fp16": (),
    "bf16": ("ccafl.precision", "bf16"),
    "fp16, channels_last False": ("ccafl.channels_last", "False"),
    "fp16, gradient_checkpointing": ("ccafl.gradient_checkpointing", "True"),
    "fp16, accumulation 4": ("ccafl.accumulation", "4"),
    "fp16, both": ("ccafl.gradient_checkpointing", "True", "ccafl.accumulation", "4"),
    "fp16, compile": ("ccafl.compile", "True"),  # minutes
    "bf16, compile": ("ccafl.precision", "bf16", "ccafl.compile", "True"),
}
ON_CPU = ("fp32", "fp16, gradient_checkpointing", "fp16, accumulation 4")
"""What there is to see without a GPU, where everything is float32."""


Lines = Iterator[dict[str, Any]]


def measure(
    config: str,
    proxies: int,
    cameras: int,
    iterations: int,
    device: str,
    cpu: tuple[str, ...],
    switches: Sequence[str] | None,
    plain: bool,
) -> Lines:
    """One line per work and setting.

    Args:
        config: name of a shipped configuration.
        proxies: N of the memories.
        cameras: C.
        iterations: of each measurement.
        device: ``cpu`` or ``cuda``.
        cpu: settings that make the work small enough for a CPU.
        switches: names in ``SWITCHES``, in this order; None: all, or those for a CPU.
        plain: whether the plain loop is measured, behind the first setting, which starts sooner.
    """
    size = () if device == "cuda" else cpu
    if device == "cpu":
        proxies, iterations = min(proxies, 24), 1
    possible = SWITCHES if device == "cuda" else ON_CPU
    for name in possible if switches is None or device == "cpu" else switches:
        shown = name if device == "cuda" else name.replace("fp16", "fp32")
        yield from _ours(shown, config, proxies, cameras, iterations, device, (*size, *SWITCHES[name]))
        forget()
        if plain:
            yield from _plain(config, proxies, cameras, iterations, device, size)
            forget()
            plain = False


def _plain(config: str, proxies: int, cameras: int, iterations: int, device: str, size: tuple[str, ...]) -> Lines:
    engine, given = make_engine(config, proxies, cameras, device, (*size, *PLAIN))
    pool_as_open_clip(engine)
    data = make_data(engine, given)
    optimizer = torch.optim.Adam(engine.model.parameters(), lr=given.train.lr)
    for active in _first_and_last(engine, given):
        engine.active_terms = active
        timing = timed(lambda: plain_step(engine, optimizer, data), device, iterations, _warm_up(device), "plain loop")
        begin_step("plain loop: waits")
        counted = waits(lambda: plain_step(engine, optimizer, data), device)
        yield _line(_step_name(engine), "plain loop, fp32", len(data["img"]), timing, device, None, counted)
    yield _extraction(engine, data, "plain loop, fp32", device, iterations, None)


def _ours(
    name: str, config: str, proxies: int, cameras: int, iterations: int, device: str, settings: tuple[str, ...]
) -> Lines:
    engine, given = make_engine(config, proxies, cameras, device, settings)
    data, images = make_data(engine, given), given.train.batch_size
    encoder = timed(lambda: encoder_step(engine, data), device, iterations, _warm_up(device), "encoder").seconds
    yield _line("encoder alone", name, images, Timing(encoder, None), device, None, None)
    for active in _first_and_last(engine, given):
        engine.active_terms = active
        timing = timed(lambda: engine.forward_backward(data), device, iterations, _warm_up(device), name)
        begin_step(f"{name}: waits")
        counted = waits(lambda: engine.forward_backward(data), device)
        yield _line(_step_name(engine), name, images, timing, device, encoder, counted)
    if not given.ccafl.gradient_checkpointing and given.ccafl.accumulation == 1:
        precision = given.ccafl.precision if given.ccafl.amp else "fp32"
        yield _extraction(engine, data, name, device, iterations, precision)


def _first_and_last(engine: Any, config: Any) -> list[Any]:
    found = windows(engine, config.train.max_epoch)
    return [found[0], found[-1]]


def _step_name(engine: Any) -> str:
    return "step: " + ", ".join(term.name for term in engine.active_terms if term.name != "proxy_classifier")


def _extraction(engine: Any, data: Any, name: str, device: str, iterations: int, precision: str | None) -> Any:
    """Features in eval mode, from images on the host to unit rows on the device."""
    engine.set_model_mode("eval")
    encode = unit_features(engine.model)
    dtype = narrow_type(precision or "fp32", engine.device)

    def run() -> None:
        if precision is None:
            with torch.no_grad():
                torch.cat([encode(data["img"].to(engine.device)).cpu() for _ in range(iterations)])
        else:
            extract([data] * iterations, encode, engine.device, dtype)

    timing = timed(run, device, 1, min(1, _warm_up(device)), "extraction")
    engine.set_model_mode("train")
    timing = timing._replace(seconds=timing.seconds / iterations)
    return _line("extraction", name, len(data["img"]), timing, device, None, None)


def _line(work: str, name: str, images: int, timing: Any, device: str, encoder: Any, counted: Any) -> dict[str, Any]:
    outside = None if encoder is None else 100 * (1 - encoder / timing.seconds)
    return {
        "work": f"{work}, {images} images, {device}",
        "setting": name,
        "images/s": images / timing.seconds,
        "ms": 1000 * timing.seconds,
        "outside the encoder %": number(outside),
        "waits": number(counted),
        "peak MB": number(timing.peak_mb),
    }


def _warm_up(device: str) -> int:
    """Iterations for cuDNN's choices, torch.compile and the allocator, one to see the time; a CPU needs none."""
    return 3 if device == "cuda" else 0


REPORT = Report(
    name="stage2",
    title="Stage 2 step and feature extraction, CLIP RN50, 256 x 128",
    explained=(
        "Images that lie in memory, so without loading. Without a GPU, 8 images in float32: no timing of use, it shows "
        "that everything runs. Encoder alone: its forward and backward pass. Outside the encoder: the share of the "
        "step that these don't take (losses, memories, proxy classifier, optimizer). Waits: how often the host waits "
        "for the GPU in an iteration. Peak MB: what all tensors together take on the GPU."
    ),
    sizes={
        "full": {
            "config": "market1501/ccafl_rn50.yaml",
            "proxies": 3262,
            "cameras": 6,
            "iterations": 30,
            "cpu": ("train.batch_size", "8", "sampler.num_instances", "4"),
            "switches": ("fp16", "fp32", "bf16"),
            "plain": True,
        },
        "quick": {
            "config": "synthetic/ccafl_tiny.yaml",
            "proxies": 24,
            "cameras": 3,
            "iterations": 1,
            "cpu": ("train.batch_size", "8", "sampler.num_instances", "4"),
            "switches": None,
            "plain": True,
        },
    },
    measure=measure,
    devices=("cpu", "cuda"),
)

OTHER_SWITCHES = Report(
    name="stage2_switches",
    title=f"{REPORT.title}, further settings",
    explained=REPORT.explained,
    sizes={
        "full": {
            **REPORT.sizes["full"],
            "switches": tuple(name for name in SWITCHES if name not in REPORT.sizes["full"]["switches"]),
            "plain": False,
        },
        "quick": {**REPORT.sizes["quick"], "switches": ("fp16, accumulation 4",), "plain": False},
    },
    measure=measure,
    devices=("cuda",),
)
