"""Where networks run, and in which precision."""

from __future__ import annotations

import time

import torch


def pick_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def bfloat16_pays(device: torch.device) -> bool:
    """Whether bfloat16 convolutions run clearly faster than float32 ones on this device.

    True for GPUs that have it; on a CPU it is timed, since without native instructions
    bfloat16 is emulated and slow.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    layer = torch.nn.Conv2d(32, 32, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.zeros(8, 32, 96, 96).to(memory_format=torch.channels_last)

    def seconds(dtype: torch.dtype) -> float:
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                layer(image).float().sum().backward()
            best = min(best, time.perf_counter() - start)
        return best

    return seconds(torch.bfloat16) < 0.8 * seconds(torch.float32)
