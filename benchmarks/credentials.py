"""What content credentials cost: time and memory of signing and of verifying a video of a given size.

    python benchmarks/credentials.py                 # a gigabyte
    python benchmarks/credentials.py --mb 100 --suffix .mkv

Prints a line for each. The video is a short one whose data was made long with noise: nothing is decoded. Each step runs in a
process of its own, whose memory is what counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from speech2lip.config import RenderConfig
from speech2lip.media.encode import VideoWriter
from speech2lip.provenance.signing import Signing, check_signing, signed_output
from speech2lip.provenance.statement import Statement
from speech2lip.provenance.verify import verify

_PIECE = 1 << 20
STATEMENT = Statement("0" * 64, "0" * 64, "0" * 64, "0" * 64, 0, {}, None)


def make(path: Path, size: int) -> None:
    """A file of about `size` bytes: a short video, and for MP4 and MOV a second, long box of data."""
    with VideoWriter(path, 25.0) as video:
        for _ in range(5):
            video.write(np.zeros((64, 64, 3), np.uint8))
    with open(path, "ab") as stream:
        if path.suffix in (".mp4", ".mov"):
            stream.write((1).to_bytes(4, "big") + b"mdat" + (size + 16).to_bytes(8, "big"))
        noise = os.urandom(_PIECE)
        for _ in range(size // _PIECE):
            stream.write(noise)
        stream.write(noise[: size % _PIECE])


def check(path: Path) -> None:
    verdict = verify(path)
    if not verdict.good:
        print(verdict, flush=True)
        os._exit(1)


def measured(name: str, work: Callable[[], object]) -> None:
    """Run it in a process of its own, and print its time and the most memory beyond what it began with."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        before, start = _peak(), time.monotonic()
        work()
        print(
            f"{name}: {time.monotonic() - start:.1f} s, {_peak() - before:.0f} MB of memory more than the {before:.0f} MB before"
        )
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{name} failed")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else _PIECE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000, help="size of the video (default: 1000)")
    parser.add_argument("--suffix", default=".mp4", choices=(".mp4", ".mov", ".mkv", ".ts"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        plain, out = Path(folder) / f"plain{options.suffix}", Path(folder) / f"signed{options.suffix}"
        make(plain, options.mb * 10**6)

        def sign() -> None:
            identity = check_signing(RenderConfig())  # here: threads of the library do not come through a fork
            assert identity is not None
            with signed_output(out, Signing(identity, STATEMENT)) as path:
                os.replace(plain, path)

        measured(f"signing {options.mb} MB of {options.suffix}", sign)
        measured("verifying it", lambda: check(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
