"""Times as people and cameras write them: seconds from any zero, or date and time of day."""

from __future__ import annotations

import math
from datetime import datetime, timezone

from ccafl_plugin.utils.errors import CCAFLError


def seconds_of(text: str, where: str) -> float:
    """A time in seconds.

    Args:
        text: a number of seconds, or ISO 8601 such as ``2026-11-26T10:30:05`` (with a time zone, or UTC is taken).
        where: the place of the text, for the message.

    Returns:
        The number, or the seconds since 1970-01-01 UTC.

    Raises:
        CCAFLError: it is neither.
    """
    given = text.strip()
    try:
        seconds = float(given)
    except ValueError:
        try:
            moment = datetime.fromisoformat(given.removesuffix("Z") + ("+00:00" if given.endswith("Z") else ""))
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
        except ValueError:
            seconds = math.nan
    if not math.isfinite(seconds):
        raise CCAFLError(f"{where}: {text!r} is no time; write seconds, or 2026-11-26T10:30:05.")
    return seconds
