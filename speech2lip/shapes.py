"""Shapes of arrays, checked where functions begin."""

from __future__ import annotations

from typing import Any


def check_shape(name: str, array: Any, *shape: int | None) -> None:
    """Raise ValueError unless `array` (NumPy or torch) has a shape; None stands for any length.

    check_shape("landmarks", landmarks, None, 478, 3)
    """
    found = tuple(array.shape)
    if len(found) != len(shape) or any(want not in (None, size) for want, size in zip(shape, found, strict=True)):
        needed = ", ".join("*" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} has shape [{', '.join(map(str, found))}], needed is [{needed}]")
