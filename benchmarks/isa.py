"""Which instructions networks are measured with; `--isa avx2` measures a plain machine on any."""

from __future__ import annotations

import argparse
import os
import sys

_LIMITS = {"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}}


def add_isa(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--isa", choices=("native", *_LIMITS), default="native",
        help="avx2: PyTorch and oneDNN use nothing newer, and no bfloat16 (default: what the machine has)",
    )  # fmt: skip


def obey_isa(isa: str) -> None:
    """Begin again where the libraries are not yet limited as asked: they look once, when they are loaded."""
    limits = _LIMITS.get(isa, {})
    if any(os.environ.get(key) != value for key, value in limits.items()):
        os.environ.update(limits)
        os.execv(sys.executable, [sys.executable, *sys.argv])  # nosec B606 # this very command again


def isa_facts() -> dict[str, str]:
    import torch

    from speech2lip.model.device import has_bfloat16

    return {
        "instructions": f"PyTorch {torch.backends.cpu.get_cpu_capability()}, oneDNN {os.environ.get('ONEDNN_MAX_CPU_ISA', 'all')}",
        "bfloat16": "yes" if has_bfloat16(torch.device("cpu")) else "no",
    }  # fmt: skip
