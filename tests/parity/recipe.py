"""Deterministic tensors for the parity fixtures in this folder.

A fixture never ships weights. Every weight and every input is drawn from its
name alone, so both sides of a comparison can rebuild it bit for bit:
numpy's legacy RandomState is frozen by numpy's own compatibility promise.
"""

import math
import zlib

import numpy as np


def normal(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """Standard normal float32 array drawn from the tensor's name."""
    rng = np.random.RandomState(zlib.crc32((salt + name).encode()))
    return rng.standard_normal(shape).astype(np.float32)


def uniform(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """Uniform [0, 1) float32 array drawn from the tensor's name."""
    rng = np.random.RandomState(zlib.crc32((salt + name).encode()))
    return rng.random_sample(shape).astype(np.float32)


def weight(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """A well-conditioned weight for the state-dict entry `name` of `shape`.

    matrices and kernels: normal / sqrt(fan_in); running_var: 0.5 + |normal|;
    running_mean and biases: 0.1 * normal; 1-D `weight` (a norm layer's gain):
    1 + 0.1 * normal; num_batches_tracked: 0 (int64).
    """
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    x = normal(name, shape, salt)
    if name.endswith("running_var"):
        return (0.5 + np.abs(x)).astype(np.float32)
    if name.endswith("running_mean") or name.endswith("bias"):
        return (0.1 * x).astype(np.float32)
    if len(shape) == 1:
        return (1.0 + 0.1 * x).astype(np.float32)
    return (x / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def state_dict(shapes: dict[str, list[int]], salt: str = "") -> dict[str, np.ndarray]:
    """All weights of a network, from its {name: shape} table."""
    return {name: weight(name, tuple(shape), salt) for name, shape in shapes.items()}
