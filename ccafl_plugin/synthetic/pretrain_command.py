"""The command that trains ``clip_tiny`` on rendered persons, for ``tools/pretrain_clip.py``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from ccafl_plugin.models.clip import ClipReID, build_clip
from ccafl_plugin.models.pretrained import PACKAGE_WEIGHTS
from ccafl_plugin.options import options
from ccafl_plugin.synthetic.pretraining.attribute_scores import retrieval, zero_shot
from ccafl_plugin.synthetic.pretraining.contrastive_training import Schedule, train
from ccafl_plugin.synthetic.pretraining.image_text_pairs import Pairs, render_pairs
from ccafl_plugin.synthetic.pretraining.training_cameras import draw_cameras
from ccafl_plugin.synthetic.pretraining.training_people import People, draw_people
from ccafl_plugin.synthetic.pretraining.weights_file import described_data, save_weights
from ccafl_plugin.synthetic.renderer.camera import CAMERAS
from ccafl_plugin.synthetic.renderer.generate import RENDERER
from ccafl_plugin.utils.commands import print_error
from ccafl_plugin.utils.errors import CCAFLError, WrongArgument
from ccafl_plugin.utils.files import check_writable, written_line
from ccafl_plugin.utils.provenance import package_version
from ccafl_plugin.utils.seeds import pin_global_state

NAME = "clip_tiny"
SIZE = (96, 48)
"""(height, width) of the pictures, the same as in the synthetic configurations."""
RANDOM_CAMERAS = 40
HELD_OUT_PICTURES = 2


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    default = Schedule()
    made = argparse.ArgumentParser(description=f"Train {NAME} on rendered persons and captions of them.")
    made.add_argument(
        "--output", default=str(PACKAGE_WEIGHTS / f"{NAME}.safetensors"), help="the file (default: the package's own)"
    )
    made.add_argument("--persons", type=int, default=4000, help="persons for training (default: %(default)s)")
    made.add_argument("--pictures", type=int, default=4, help="pictures per person (default: %(default)s)")
    made.add_argument("--held-out", type=int, default=300, help="persons for the evaluation (default: %(default)s)")
    made.add_argument("--steps", type=int, default=default.steps, help="(default: %(default)s)")
    made.add_argument("--batch-size", type=int, default=default.batch_size, help="(default: %(default)s)")
    made.add_argument("--learning-rate", type=float, default=default.learning_rate, help="(default: %(default)s)")
    made.add_argument("--weight-decay", type=float, default=default.weight_decay, help="(default: %(default)s)")
    made.add_argument("--seed", type=int, default=default.seed, help="seed of all random draws (default: %(default)s)")
    made.add_argument("--workers", type=int, default=None, help="rendering processes (default: one per core)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about a wrong argument."""
    argv = sys.argv[1:] if argv is None else list(argv)
    given = parser().parse_args(argv)
    try:
        run(given, shlex.join(["python", "tools/pretrain_clip.py", *argv]))
    except WrongArgument as error:
        options = {name: f"--{name.replace('_', '-')}" for name in vars(given)}
        print_error(error.with_keys(options))
        return 2
    except CCAFLError as error:
        print_error(error)
        return 2
    return 0


def run(given: argparse.Namespace, command: str) -> list[float]:
    """Renders the pictures, trains and evaluates the model, and writes the weights.

    Returns:
        The loss of every step.

    Raises:
        CCAFLError: an argument is out of range, or the file could not be written.
    """
    if min(given.persons, given.pictures, given.held_out) < 1:
        raise CCAFLError("pretraining: --persons, --pictures and --held-out must be at least 1.")
    if given.workers is not None and given.workers < 1:
        raise CCAFLError(f"--workers: {given.workers} is not a number of processes. Use at least 1.")
    schedule = Schedule(
        given.steps, given.batch_size, given.learning_rate, given.weight_decay, min(100, given.steps // 5), given.seed
    )
    check_writable(Path(given.output))
    started = time.monotonic()
    people = draw_people(given.persons, given.held_out, given.seed)
    print(f"Rendering {given.persons} persons, {given.pictures} pictures of each ...", flush=True)
    cameras = draw_cameras(RANDOM_CAMERAS, given.seed)
    pairs = render_pairs(people.train, cameras, given.pictures, SIZE, given.seed, "train", given.workers)
    print(f"Rendered in {time.monotonic() - started:.0f} s.", flush=True)

    model = new_model(given.seed)
    losses = train(model, pairs, schedule, log=lambda line: print(line, flush=True))
    report = measure(model, held_out_pairs(people, given.seed, given.workers))
    for name, value in report.items():
        print(f"{name}: {value}")
    metadata = {
        "command": command,
        "seed": str(given.seed),
        "persons": str(given.persons),
        "data": described_data(given.persons, given.pictures, RANDOM_CAMERAS, SIZE, RENDERER),
        "loss": f"{sum(losses[-20:]) / len(losses[-20:]):.3f}",
        "version": f"ccafl_plugin {package_version()}, renderer {RENDERER}, torch {torch.__version__}",
        "zero_shot": json.dumps(report),
    }
    save_weights(model, Path(given.output), metadata)
    print(f"Took {(time.monotonic() - started) / 60:.1f} minutes.")
    print(written_line(Path(given.output).parent, [Path(given.output).name]))
    return losses


def new_model(seed: int) -> ClipReID:
    """An untrained ``clip_tiny`` for pictures of ``SIZE``."""
    pin_global_state(seed, "pretraining", "weights")
    with options.override(input_size=SIZE):
        return build_clip(NAME, 1, "ccafl", pretrained=False)


def held_out_pairs(people: People, seed: int, workers: int | None = None) -> Pairs:
    """Pictures of the held-out persons in the benchmark's cameras; the model has seen neither."""
    return render_pairs(people.held_out, CAMERAS, HELD_OUT_PICTURES, SIZE, seed, "held out", workers)


def measure(model: ClipReID, pairs: Pairs) -> dict[str, dict[str, float]]:
    """Zero-shot accuracy by attribute, and the share of pictures that find their caption, each with its chance."""
    batch = min(128, len(pairs.persons))
    scores = {name: (score.accuracy, score.chance) for name, score in zero_shot(model, pairs).items()}
    scores[f"caption among {batch}"] = (retrieval(model, pairs, batch), 1 / batch)
    return {name: {"accuracy": round(a, 4), "chance": round(chance, 4)} for name, (a, chance) in scores.items()}
