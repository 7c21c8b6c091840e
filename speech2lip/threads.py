"""How threads of libraries wait for each other, which these are told before they are loaded."""

from __future__ import annotations

import os

# Times that a thread of OpenMP looks for its fellows before it sleeps: some hundred microseconds, more than the networks'
# threads wait for each other, and less than a busy program would lose to them. libgomp's own is ten times that.
_LOOKS = "30000"


def settle_threads() -> None:
    """For programs of ours, before NumPy and PyTorch are imported; what the user has set stays.

    NumPy's matrices are small here, and threads that share one would keep networks from their cores.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _LOOKS)
