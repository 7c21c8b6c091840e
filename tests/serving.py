"""The service or the studio in a process of its own, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
_STARTS = 120  # seconds


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def serving(command: str, data: Path, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`speech2lip COMMAND` on a port of this machine, from when it answers; what it prints goes to a file beside the data."""
    words = [sys.executable, "-m", "speech2lip", command, f"--data={data}", f"--port={port}", *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = data.with_name(f"{data.name}.{command}.txt")
    with open(said, "ab") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + _STARTS
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < end, said.read_text()
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        urlopen(f"http://127.0.0.1:{port}/v1/health", timeout=5).close()
    except OSError:
        return False
    return True
