"""The commands ``ccafl-train``, ``ccafl-suite`` and ``ccafl-export``; apart from the package, which imports torch."""

import os
import sys
import time
import warnings
from collections.abc import Callable

# torchreid warns at its import that its compiled evaluator is missing; ccafl_plugin.metrics stands in for it. Here for
# this process, whatever it imports first, and for those that it starts: data workers may import torchreid first.
CYTHON = "Cython evaluation"
warnings.filterwarnings("ignore", CYTHON, UserWarning)
os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), f"ignore:{CYTHON}"]))

# OpenMP's idle threads spin by default, which starves data workers; read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


ALONE = "error: of this package's commands only ccafl-train runs in several processes. Start this one without torchrun."
SECONDS_FOR_A_LINE = 2.0


def main() -> int:
    """Trains and tests a model, with the arguments of the process."""
    from ccafl_plugin.runs.train_command import main as run

    return _into_a_pipe(run, shares_work=True)


def suite() -> int:
    """Runs a suite of trainings, with the arguments of the process."""
    from ccafl_plugin.suites.suite_command import main as run

    return _into_a_pipe(run)


def associate() -> int:
    """Finds one identity across cameras, with the arguments of the process."""
    from ccafl_plugin.features.associate_command import main as run

    return _into_a_pipe(run)


def export() -> int:
    """Exports a file of weights for other programs, with the arguments of the process."""
    from ccafl_plugin.exporting.export_command import main as run

    return _into_a_pipe(run)


def convert_weights() -> int:
    """Turns weights into a file that describes itself, with the arguments of the process."""
    from ccafl_plugin.runs.convert_command import main as run

    return _into_a_pipe(run)


def pretrain() -> int:
    """Trains ``clip_tiny``, with the arguments of the process."""
    from ccafl_plugin.synthetic.pretrain_command import main as run

    return _into_a_pipe(run)


def extract() -> int:
    """Makes features of the images in a folder, with the arguments of the process."""
    from ccafl_plugin.features.extract_command import main as run

    return _into_a_pipe(run)


def thresholds() -> int:
    """Finds thresholds for "same person", with the arguments of the process."""
    from ccafl_plugin.features.thresholds_command import main as run

    return _into_a_pipe(run)


def search() -> int:
    """Builds an index of features or searches it, with the arguments of the process."""
    from ccafl_plugin.features.search_command import main as run

    return _into_a_pipe(run)


def checkpoints() -> int:
    """Lists and checks the checkpoints of a run, with the arguments of the process."""
    from ccafl_plugin.runs.checkpoints_command import main as run

    return _into_a_pipe(run)


def report() -> int:
    """Writes a page about runs, with the arguments of the process."""
    from ccafl_plugin.report.report_command import main as run

    return _into_a_pipe(run)


def _into_a_pipe(run: Callable[[], int], shares_work: bool = False) -> int:
    """Calls a command; if nobody reads its output any more, as behind ``| head``, that is no traceback.

    Args:
        run: the command.
        shares_work: whether processes that ``torchrun`` has started share its work; others would all do the same, and
            write the same files.
    """
    if not shares_work and "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if os.environ.get("RANK") == "0":
            print(ALONE, file=sys.stderr)
        else:
            time.sleep(SECONDS_FOR_A_LINE)  # torchrun ends the others as soon as one has ended
        return 2
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at the end
        return 1
