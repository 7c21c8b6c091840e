"""The one exception that reaches a user as a sentence instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that names what was found and in which file, what is
    needed, and what to do next. Entry points print it and exit with status 2.
    """


def run_guarded(work: Callable[[], int]) -> int:
    """Turn UserError into one sentence and status 2, and Ctrl-C into status 130."""
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "interrupted; what was finished is kept, run the same command to continue"
        print(said, file=sys.stderr)
        return 130
