"""How much two busy programs slow each other.

    python benchmarks/neighbours.py                      # some three minutes
    python benchmarks/neighbours.py --parts 1            # all threads share every operation of a step
    OMP_NUM_THREADS=1 python benchmarks/neighbours.py    # each with one thread

Training steps per second of the default on the synthetic speaker: alone, beside a program that keeps one core busy, and beside a second
training. What is shared fairly is two thirds, and a half, on two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import torch

from benchmarks.isa import add_isa, isa_facts, obey_isa
from benchmarks.speed import Ours, preset, synthetic
from speech2lip.demo.speaker import TRAINING_SENTENCES
from speech2lip.errors import run_guarded
from speech2lip.evaluation.report import machine_facts
from speech2lip.preparation.pipeline import preprocess

_BUSY = "while True: pass"
ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("rendering_result/speed"), help="folder for everything")
    parser.add_argument("--seconds", type=float, default=10, help="of every measurement")
    parser.add_argument("--parts", type=int, default=0, help="of a step (train.parts)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps-of", metavar="NAME", help="train under this name and print the steps per second")
    add_isa(parser)
    options = parser.parse_args()
    obey_isa(options.isa)
    return run_guarded(lambda: train(options) if options.steps_of else compare(options))


def train(options: argparse.Namespace) -> int:
    """Measures once for every line of standard input."""
    ours = Ours(
        preset("fast", options, f"train.output={options.out / options.steps_of}", f"train.parts={options.parts}"), 1
    )
    ours.train()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < options.seconds:
            ours.train()
            steps += 1
        print(steps / (time.perf_counter() - start), flush=True)
    return 0


def compare(options: argparse.Namespace) -> int:
    preprocess(preset("fast", options), synthetic(options.out, TRAINING_SENTENCES[:1]))
    rows: dict[str, list[float]] = {"alone": [], "beside a busy program": [], "beside another training": []}
    first, second = (_start(options, name) for name in ("one", "two"))
    try:
        for _ in range(ROUNDS):
            rows["alone"].append(_steps(first)[0])
            busy = subprocess.Popen([sys.executable, "-c", _BUSY])
            rows["beside a busy program"].append(_steps(first)[0])
            busy.kill()
            busy.wait()
            rows["beside another training"].append(sum(_steps(first, second)) / 2)
    finally:
        for program in (first, second):
            program.kill()
            program.wait()
    print(table(rows, options.device))
    return 0


def _start(options: argparse.Namespace, name: str) -> subprocess.Popen[str]:
    """A training that is ready to be measured."""
    command = [sys.executable, __file__, "--out", options.out, "--seconds", options.seconds, "--steps-of", name]
    program = subprocess.Popen(
        [*map(str, command), "--isa", options.isa, "--device", options.device, "--parts", str(options.parts)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    while (line := program.stdout.readline()).strip() != "ready":
        if not line:
            raise SystemExit(f"the training {name} ended before it could be measured")
    return program


def _steps(*programs: subprocess.Popen[str]) -> list[float]:
    """Steps per second of each, measured at the same time."""
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    return [float(program.stdout.readline()) for program in programs if program.stdout is not None]


def table(rows: dict[str, list[float]], device: str) -> str:
    alone = median(rows["alone"])
    facts = machine_facts(device) | isa_facts() | {"threads": str(torch.get_num_threads())}
    lines = [", ".join(f"{k}: {v}" for k, v in facts.items()), ""]
    lines += ["| a training | steps per second | of those alone |", "|---|---|---|"]
    for name, found in rows.items():
        middle = median(found)
        lines.append(f"| {name} | {middle:.2f} ({min(found):.2f} to {max(found):.2f}) | {middle / alone:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
