"""Libraries are told how many threads to begin with before they are loaded."""

import os
import subprocess
import sys

import pytest

from speech2lip.threads import settle_threads


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("2", "2")])
def test_what_is_set_stays(monkeypatch, given, expected):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
    settle_threads()
    assert os.environ["OPENBLAS_NUM_THREADS"] == expected


@pytest.mark.parametrize("module", ["speech2lip.cli", "speech2lip"])
def test_commands_settle_before_anything_heavy_is_loaded(module):
    code = f"import sys, {module}; print(sorted({{'numpy', 'torch', 'cv2', 'mediapipe'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="Linux lists a process's threads")
def test_a_command_has_one_thread_for_numpy():
    """OpenBLAS starts its threads when it is loaded."""
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    code = (
        "from speech2lip.threads import settle_threads; settle_threads()\n"
        "import numpy, os; print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
