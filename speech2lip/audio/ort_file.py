"""Constants of an ONNX Runtime model file (.ort), read without running it.

The format is a FlatBuffers table whose fields keep their numbers (ONNX Runtime promises to
read older files). Only what is needed here is named: session -> model -> graph -> tensors, and which
tensors a node receives.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

_MARK = b"ORTM"


_SESSION_MODEL, _MODEL_GRAPH, _GRAPH_TENSORS, _GRAPH_NODES = 1, 7, 0, 2


_TENSOR_NAME, _TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BYTES = 0, 2, 3, 4


_NODE_NAME, _NODE_INPUTS = 0, 8


_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64}


class OrtFile:
    """tensors: every constant of a known type by its name; inputs: names of what each node receives, by its name.

    Raises ValueError for anything that is not such a file, or is cut short.
    """

    def __init__(self, data: bytes):
        if data[4:8] != _MARK:
            raise ValueError("it is not an ONNX Runtime model file")
        try:
            root = _Reader(data, struct.unpack_from("<I", data)[0])
            graph = root.table(_SESSION_MODEL).table(_MODEL_GRAPH)
            self.tensors = dict(_tensors(graph))
            self.inputs = {node.string(_NODE_NAME): node.strings(_NODE_INPUTS) for node in graph.tables(_GRAPH_NODES)}
        except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"it is damaged ({error})") from error


class _Reader:
    """Fields of one FlatBuffers table by their number."""

    def __init__(self, data: bytes, at: int):
        self._table = Table(data, at)

    def _offset(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def _vector(self, field: int) -> tuple[int, int]:
        """Where a vector begins, and its length."""
        offset = self._offset(field)
        return (self._table.Vector(offset), self._table.VectorLen(offset)) if offset else (0, 0)

    def table(self, field: int) -> _Reader:
        return _Reader(self._table.Bytes, self._table.Indirect(self._offset(field) + self._table.Pos))

    def tables(self, field: int) -> Iterator[_Reader]:
        start, count = self._vector(field)
        for k in range(count):
            yield _Reader(self._table.Bytes, self._table.Indirect(start + 4 * k))

    def string(self, field: int) -> str:
        offset = self._offset(field)
        return self._table.String(offset + self._table.Pos).decode() if offset else ""

    def strings(self, field: int) -> list[str]:
        start, count = self._vector(field)
        return [self._table.String(start + 4 * k).decode() for k in range(count)]

    def integer(self, field: int) -> int:
        offset = self._offset(field)
        return int(self._table.Get(number_types.Int32Flags, offset + self._table.Pos)) if offset else 0

    def array(self, field: int, kind: type[np.generic]) -> np.ndarray:
        start, count = self._vector(field)
        return np.frombuffer(self._table.Bytes, kind, count, start)

    def raw(self, field: int) -> bytes:
        start, count = self._vector(field)
        return bytes(self._table.Bytes[start : start + count])


def _tensors(graph: _Reader) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in graph.tables(_GRAPH_TENSORS):
        kind = _TYPES.get(tensor.integer(_TENSOR_TYPE))
        if kind is not None:
            values = np.frombuffer(tensor.raw(_TENSOR_BYTES), kind)
            yield tensor.string(_TENSOR_NAME), values.reshape(tensor.array(_TENSOR_SHAPE, np.int64))
