"""Where networks run, and in which precision."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import DEVICES, is_device, shown
from ..errors import UserError

_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")  # of oneDNN


def pick_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one; UserError for a device that this machine lacks."""
    if not is_device(name):
        raise UserError(f"there is no device {shown(name)}: use {DEVICES}")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 0
    missing = kind == "cuda" and int(index or 0) >= count
    if missing or (kind == "mps" and not torch.backends.mps.is_available()):
        found = f"{count} CUDA devices" if count else "none that PyTorch can use"
        raise UserError(f"device {name} was asked for, this machine has {found}: ask for one of those, or for auto")
    return torch.device(name)


def has_bfloat16(device: torch.device) -> bool:
    """Whether this device computes in bfloat16 itself; elsewhere it is emulated, and slow.

    A processor says so by the flags avx512_bf16 or amx_bf16 (x86) and bf16 (Arm), as Linux lists them; oneDNN may be
    told to leave them alone (ONEDNN_MAX_CPU_ISA).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_BFLOAT16:
        return False
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & cpu_flags())


_MOST_SHARES = 4  # of the processor


@dataclass(frozen=True)
class Shares:
    """The processor's threads, in equal shares for work that goes on side by side: threads that draw different frames need
    not wait for each other, as those that share a frame must, nor keep others from their core by waiting."""

    count: int
    threads: int

    @classmethod
    def of(cls, device: torch.device, at_most: int = _MOST_SHARES) -> Shares:
        """One share on other devices, which order their work themselves."""
        threads = torch.get_num_threads()
        count = min(threads, at_most) if device.type == "cpu" else 1
        return cls(count, threads // count)

    def begin(self) -> None:
        """What a thread does first that has one of several shares."""
        torch.set_num_threads(self.threads)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """PyTorch remembers what the last thread asked for: after this, threads begin again as they did before."""
        before = torch.get_num_threads()
        try:
            yield
        finally:
            if self.count > 1:
                torch.set_num_threads(before)


def cpu_flags() -> set[str]:
    """The processor's features by Linux's names; empty where there is no such list."""
    if platform.system() != "Linux":
        return set()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {
        flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split(":")[-1].split()
    }
