"""What the benchmarks of quality share: one training, measured, and what its figures were measured with."""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

import speech2lip
from speech2lip.config import Config
from speech2lip.evaluation.protocols import Result
from speech2lip.evaluation.report import machine_facts
from speech2lip.evaluation.run import evaluate
from speech2lip.model.device import cpu_flags
from speech2lip.preparation.pipeline import preprocess
from speech2lip.training.trainer import Trainer

Rows = dict[str, dict[str, float]]  # figures by row of a protocol
_PREPARED = (
    "face.", "audio.", "bundle.", "fit.", "photometric.", "rasterizer=", "data.fps=",
)  # fmt: skip  # settings that need a subject folder of their own
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "bf16", "asimd")  # that change speed


def add_budget(parser: argparse.ArgumentParser) -> None:
    """How long every training of a benchmark lasts."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--minutes", type=float, default=12.0, help="time of each training (default 12)")
    group.add_argument("--steps", type=int, help="steps of each training instead, for equal samples")


def budget(options: argparse.Namespace) -> str:
    """The setting that `add_budget`'s options stand for."""
    return f"train.steps={options.steps}" if options.steps else f"train.minutes={options.minutes:g}"


def subject_folder(settings: list[str]) -> str:
    """Name of the folder that trainings with the same preprocessing share."""
    prepared = sorted(s for s in settings if s.startswith(_PREPARED))
    return "_".join(["subject", *(s.replace("=", "-") for s in prepared)])


def train_and_measure(config: Config, clip: Path) -> dict[str, Result]:
    """Preprocess where needed, train afresh, evaluate; results by protocol. The report lies in train.output/evaluation."""
    preprocess(config, clip)
    if not Trainer(config, fresh=True).run():
        raise KeyboardInterrupt
    return evaluate(model_file(config), Path(config.data.root), Path(config.train.output) / "evaluation")


def model_file(config: Config) -> Path:
    """The checkpoint that a training with this configuration leaves."""
    return Path(config.train.output) / config.name / "model.pt"


def told_from_frozen(rows: Rows, name: str) -> float:
    """A figure of the generated row; distances over the frozen mouth's, PSNR less it."""
    value, control = (rows[row].get(name, float("nan")) for row in ("generated", "frozen"))
    if name.startswith("lmd"):
        return value / control if control else float("nan")
    return value - control if name == "psnr_lip" else value


def facts() -> dict[str, Any]:
    """Command, versions, cores and instruction sets."""
    known = cpu_flags()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "command": shlex.join(["python", *sys.argv]), "code": code_digest(), **machine_facts(), "cores": cores,
        "instruction sets": [name for name in _INSTRUCTIONS if name in known],
        "PyTorch computes with": torch.backends.cpu.get_cpu_capability(),
    }  # fmt: skip


def code_digest() -> str:
    """Twelve digits that change with any line of the package."""
    digest, root = hashlib.sha256(), Path(speech2lip.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
