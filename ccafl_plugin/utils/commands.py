"""What every command of this package does with an error of the user's: one line, and a number for the shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from ccafl_plugin.utils.errors import CCAFLError

WRONG = 2
"""Exit code for something that the user can mend, as argparse has it."""


def exit_code(run: Callable[[argparse.Namespace], object], given: argparse.Namespace) -> int:
    """Runs a command.

    Args:
        run: does what the arguments say.
        given: parsed arguments.

    Returns:
        0, or 2 after one line about what is wrong was printed.
    """
    try:
        run(given)
    except CCAFLError as error:
        print_error(error)
        return WRONG
    return 0


def print_error(error: object) -> None:
    """Prints one line, whatever line breaks the text has."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
