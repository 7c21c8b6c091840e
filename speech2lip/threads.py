"""How many threads libraries begin with, which they are told before they are loaded."""

from __future__ import annotations

import os


def settle_threads() -> None:
    """For programs of ours, before NumPy is imported: its matrices are small here, and threads that share one would keep
    networks and encoders from their cores. What the user has set stays."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
