"""The command that finds thresholds for "same person", for ``tools/thresholds.py`` and ``ccafl-thresholds``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from ccafl_plugin.features.extractor import open_extractor
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.thresholds import ENOUGH, RATES, Thresholds, file_of, measure_thresholds
from ccafl_plugin.models.named_weights import file_of_weights
from ccafl_plugin.utils.commands import exit_code
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import written_line


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(
        description="Thresholds for 'same person' from labelled features: pairs of images of different cameras."
    )
    made.add_argument("features", help="of extract.py, with camera and id; ids must hold across cameras")
    made.add_argument("--weights", required=True, metavar="FILE", help="the thresholds are kept beside it")
    made.add_argument("--rates", type=float, nargs="+", default=list(RATES), metavar="RATE", help="false-accept rates")
    made.add_argument("--data", default="", metavar="WORDS", help="what the labelled set is (default: its file's name)")
    made.add_argument("--out", default="", metavar="FILE", help="another place than beside the weights")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about what is wrong."""
    return exit_code(run, parser().parse_args(argv))


def run(given: argparse.Namespace) -> None:
    """Does what the arguments say.

    Raises:
        CCAFLError: features or weights can't be read, are not of each other, or have no pairs.
    """
    file = file_of_weights(given.weights)
    if not file.is_file():
        raise CCAFLError(f"--weights: there is no file {str(file)!r}.")
    labelled = FeatureSet.load(given.features)
    found = measure_thresholds(labelled, given.rates, given.data or Path(given.features).name)
    # An ONNX file of full precision counts as the weights that it was made of.
    digest = open_extractor(file).digest if file.suffix.lower() == ".onnx" else digest_of_file(file)
    found.check_weights(digest, found.feature, str(file))
    out = Path(given.out).expanduser() if given.out else file_of(given.weights)
    for line in lines_of(found):
        print(line)
    found.save(out)
    print(written_line(out.parent, [out.name]))


def lines_of(found: Thresholds) -> list[str]:
    """The thresholds for people to read, and what they do not support."""
    rows = [
        (
            f"{each.rate:g}",
            "-" if each.threshold is None else f"{each.threshold:.4f}",
            each.false_accepts,
            "-" if each.true_accept_rate is None else f"{each.true_accept_rate:.1%}",
        )
        for each in found.thresholds
    ]
    headers = ["false-accept rate", "cosine above", "different pairs above", "same pairs above"]
    lines = [
        f"{found.different_pairs} pairs of images of two people and {found.same_pairs} of one person, by different "
        f"cameras ({found.images} images, {found.people} people, {found.cameras} cameras; {found.data})",
        tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True, colalign=("right",) * 4),
    ]
    for each in found.thresholds:
        if each.threshold is None:
            needed = f"{1 / each.rate:.0f} pairs of two people"
            lines.append(f"warning: {each.rate:g} needs at least {needed}: no threshold")
        elif not each.supported:
            lines.append(
                f"warning: only {each.false_accepts} pairs are behind {each.rate:g} (fewer than {ENOUGH}): the "
                "threshold may be far off; label more people"
            )
    return lines
