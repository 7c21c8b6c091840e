"""TensorBoard's writer, or nothing where it is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


class NoWriter:
    """Stands in for TensorBoard's writer where that package is missing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def scalar_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print('training without curves: they need tensorboard (pip install "speech2lip[tensorboard]")')
        return NoWriter()
    return SummaryWriter(str(folder))  # type: ignore[no-untyped-call]
