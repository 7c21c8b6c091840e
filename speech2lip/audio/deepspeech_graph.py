"""The frozen TensorFlow graph of DeepSpeech 0.1.0 -> a safetensors file, once.

TensorFlow is imported here only; afterwards the PyTorch port runs without it.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from ..errors import UserError
from ..files import atomic_path
from ..nets.pretrained.deepspeech import state_from_graph

_LAYERS = tuple(f"{kind}{k}" for k in (1, 2, 3, 5, 6) for kind in "hb")
_CELLS = {
    f"{d}/{part}": (f"bidirectional_rnn/{d}/basic_lstm_cell", part) for d in ("fw", "bw") for part in ("kernel", "bias")
}
_OLD_NAMES = {"kernel": "weights", "bias": "biases"}  # of cells before TensorFlow 1.2


def convert_graph(graph: Path, target: Path, remedy: str) -> None:
    """Write the weights in `graph` (.pb) as `target` (.safetensors)."""
    constants = read_constants(graph, remedy)
    try:
        chosen = {name: _pick(constants, name) for name in _LAYERS}
        chosen |= {key: _pick_cell(constants, *place) for key, place in _CELLS.items()}
    except KeyError as error:
        raise UserError(
            f"{graph} has no constant {error}; it holds {', '.join(sorted(constants)[:8])}: {remedy}"
        ) from error
    with atomic_path(target) as path:
        save_file(state_from_graph(chosen), str(path))


def read_constants(graph: Path, remedy: str) -> dict[str, np.ndarray]:
    """Every float constant of a frozen graph by its name."""
    tensorflow = _tensorflow(graph)
    definition = tensorflow.compat.v1.GraphDef()
    try:
        definition.ParseFromString(graph.read_bytes())
    except Exception as error:  # protobuf's DecodeError lives in a package that only TensorFlow brings
        raise UserError(f"{graph} is not a TensorFlow graph ({error}): {remedy}") from error
    nodes = [
        n for n in definition.node if n.op == "Const" and n.attr["dtype"].type == tensorflow.float32.as_datatype_enum
    ]
    return {n.name: tensorflow.make_ndarray(n.attr["value"].tensor) for n in nodes}


def _pick(constants: dict[str, np.ndarray], name: str) -> np.ndarray:
    for found, value in constants.items():
        if found.split("/")[-1] == name and value.ndim >= 1:
            return value
    raise KeyError(name)


def _pick_cell(constants: dict[str, np.ndarray], cell: str, part: str) -> np.ndarray:
    for found, value in constants.items():
        if f"/{found}".endswith((f"/{cell}/{part}", f"/{cell}/{_OLD_NAMES[part]}")):
            return value
    raise KeyError(f"{cell}/{part}")


def _tensorflow(graph: Path) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with suppress(ImportError):  # CUDA builds of PyTorch load it when they train; after TensorFlow it ends the process
        importlib.import_module("triton")
    try:
        import tensorflow
    except ImportError as error:
        raise UserError(
            f"converting {graph} needs the package tensorflow, once, which is not installed: run "
            '`pip install "speech2lip[published]"`, or use audio.backend=mel'
        ) from error
    return tensorflow
