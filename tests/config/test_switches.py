"""Settings that change what a step costs: who has them, and mistakes before anything is loaded."""

from __future__ import annotations

import pytest

from ccafl_plugin.config import default_config, load_config
from ccafl_plugin.config.arguments import engine_arguments, option_values
from ccafl_plugin.utils.errors import CCAFLError

CLIP = ["model.name", "clip_tiny", "loss.name", "ccafl", "train.batch_size", "32"]

MISTAKES = [
    (
        [*CLIP, "ccafl.precision", "fp8"],
        r"ccafl\.precision: 'fp8' .*bf16, fp16, fp32",
    ),
    ([*CLIP, "ccafl.extraction_precision", "half"], r"ccafl\.extraction_precision: 'half'"),
    ([*CLIP, "ccafl.matmul_precision", "low"], r"ccafl\.matmul_precision: 'low'"),
    ([*CLIP, "ccafl.accumulation", "0"], r"ccafl\.accumulation: 0 is out of range, it must be at least 1"),
    ([*CLIP, "ccafl.accumulation", "3"], r"a batch of 32 .* 3 equal parts .* Choose one of 1, 2, 4, 8, 16\."),
    ([*CLIP, "ccafl.accumulation", "32"], r"a batch of 32 .* 32 equal parts of at least 2 images"),
    (["ccafl.accumulation", "2"], r"only runs with loss\.name ccafl can split a batch into parts"),
    (["ccafl.compile", "True"], r"ccafl\.compile: 'resnet50' has no CLIP image encoder\. .* or ccafl\.compile False"),
    (["ccafl.gradient_checkpointing", "True"], r"'resnet50' has no .* or ccafl\.gradient_checkpointing False"),
    ([*CLIP, "ccafl.compile", "True", "ccafl.gradient_checkpointing", "True"], r"cannot be combined with"),
]


@pytest.mark.parametrize(("pairs", "message"), MISTAKES, ids=lambda value: " ".join(value[-2:]))
def test_mistakes(pairs: list[str], message: str) -> None:
    with pytest.raises(CCAFLError, match=message):
        load_config(None, pairs)


def test_switches_reach_engine_and_options() -> None:
    pairs = ["ccafl.precision", "bf16", "ccafl.extraction_precision", "fp16", "ccafl.accumulation", "4"]
    pairs += ["ccafl.channels_last", "False", "ccafl.gradient_checkpointing", "True"]
    config = load_config(None, [*CLIP, *pairs])
    arguments, options = engine_arguments(config), option_values(config)
    assert (arguments["precision"], arguments["extraction_precision"], arguments["accumulation"]) == ("bf16", "fp16", 4)
    assert (options["channels_last"], options["gradient_checkpointing"]) == (False, True)


def test_defaults_are_the_papers_mixed_precision_and_no_switch() -> None:
    ccafl = default_config().ccafl
    assert (ccafl.amp, ccafl.precision, ccafl.extraction_precision) == (True, "fp16", "fp32")
    assert (ccafl.matmul_precision, ccafl.channels_last) == ("highest", True)
    assert (ccafl.compile, ccafl.gradient_checkpointing, ccafl.accumulation) == (False, False, 1)
