"""`python -m tests.fuzz --cases 10000`: prints counts, and every traceback with the seed that repeats it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .run import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count = run(Path(folder), options.cases, options.seed)
    for kind, number, text in count.failures:
        print(f"--- {kind}, seed {number}\n{text}")
    print(count)
    return 1 if count.failures else 0


if __name__ == "__main__":
    sys.exit(main())
