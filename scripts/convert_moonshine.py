"""Developer tool: the encoder of Moonshine tiny out of its ONNX Runtime file, as the package carries it.

    pip install moonshine-voice==0.0.68 flatbuffers
    python scripts/convert_moonshine.py [encoder_model.ort] [--out FILE]

Matrices stay bytes with one zero point and one scale each, as the file has them (13 MB). The .ort
format is a FlatBuffers table whose fields keep their numbers (ONNX Runtime promises to read older
files). Nothing in the file is run.
"""

from __future__ import annotations

import argparse
import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table
from safetensors.numpy import save_file

TARGET = Path(__file__).resolve().parents[1] / "speech2lip/weights/data/moonshine_tiny_encoder.safetensors"

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


def stored_tensors(file: OrtFile) -> dict[str, np.ndarray]:
    """The encoder's parameters under our names: matrices as NAME.bytes, NAME.zero_point and NAME.scale."""
    tensors = file.tensors

    def received(node: str) -> np.ndarray:
        """The one constant that a node receives."""
        return tensors[next(name for name in file.inputs[node] if name in tensors)]

    def matrix(name: str, node: str) -> dict[str, np.ndarray]:
        stored = next(n for n in file.inputs[node] if n in tensors and n.endswith("_quantized"))
        parts = {"bytes": "_quantized", "zero_point": "_zero_point", "scale": "_scale"}
        return {f"{name}.{k}": tensors[stored.removesuffix("_quantized") + part] for k, part in parts.items()}

    out = {f"conv{k}.weight": tensors[f"conv{k}.weight_add_tensor"] for k in (1, 2, 3)}
    out |= {f"conv{k}.bias": tensors[f"conv{k}.bias"] for k in (2, 3)}
    out |= {"norm.weight": received("/groupnorm/Mul").ravel(), "norm.bias": received("/groupnorm/Add").ravel()}
    out["final.weight"] = tensors["layer_norm.weight"]
    for k in range(6):
        layer = f"layers.{k}."
        out[f"{layer}before_attention.weight"] = tensors[f"{layer}input_layernorm.weight"]
        out[f"{layer}before_mlp.weight"] = tensors[f"{layer}post_attention_layernorm.weight"]
        for ours, theirs in _MATRICES.items():
            out |= matrix(f"{layer}{ours}.weight", f"/layers.{k}/{theirs}/MatMul_quant")
        for ours, theirs in (("rise", "fc1"), ("fall", "fc2")):
            out[f"{layer}{ours}.bias"] = tensors[f"{layer}mlp.{theirs}.bias"]
    return {name: np.ascontiguousarray(value) for name, value in out.items()}


_MATRICES = {
    "query": "self_attn/q_proj", "key": "self_attn/k_proj", "value": "self_attn/v_proj", "out": "self_attn/o_proj",
    "rise": "mlp/fc1", "fall": "mlp/fc2",
}  # fmt: skip


def packaged_file() -> Path:
    """The file in an installed moonshine-voice, which is not imported."""
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("moonshine-voice is not installed: pip install moonshine-voice==0.0.68, or name the .ort file")
    return Path(spec.submodule_search_locations[0]) / "assets" / "tiny-en" / "encoder_model.ort"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", help="encoder_model.ort (default: of the installed package)")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    content = stored_tensors(OrtFile((options.file or packaged_file()).read_bytes()))
    save_file(
        content, options.out, {"source": "moonshine-voice 0.0.68, assets/tiny-en/encoder_model.ort", "licence": "MIT"}
    )
    print(f"{options.out}: {len(content)} arrays, {options.out.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
