"""Developer tool: a face-recognition network out of an npm package, as this package carries it.

    npm pack @vladmandic/face-api@1.7.15
    tar xzf vladmandic-face-api-1.7.15.tgz package/model
    python scripts/convert_face_identity.py package/model [--out FILE]

The weights are those of dlib's `dlib_face_recognition_resnet_model_v1` (D. King, public domain), mostly as bytes with one
scale and one smallest value each, as the file has them (6 MB). Nothing in the files is run.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TARGET = Path(__file__).resolve().parents[1] / "speech2lip/weights/data/face_identity.safetensors"
NAME = "face_recognition_model"


@dataclass(frozen=True)
class Stored:
    """values: numbers, or bytes that stand for least + scale * byte."""

    values: np.ndarray
    scale: float | None
    least: float | None

    @property
    def numbers(self) -> np.ndarray:
        values = self.values.astype(np.float64)
        return values if self.scale is None or self.least is None else values * self.scale + self.least


def read_arrays(folder: Path) -> dict[str, Stored]:
    """Every array of the model by its name; ValueError where lengths do not fit."""
    data = (folder / f"{NAME}.bin").read_bytes()
    manifest = json.loads((folder / f"{NAME}-weights_manifest.json").read_text("utf-8"))
    out, at = {}, 0
    for entry in manifest[0]["weights"]:
        quantised = entry.get("quantization")
        kind = np.dtype(quantised["dtype"] if quantised else entry["dtype"])
        count = math.prod(entry["shape"])
        if kind not in (np.uint8, np.float32) or at + count * kind.itemsize > len(data):
            raise ValueError(f"{entry['name']} is stored as {kind}, or the file is cut short")
        values = np.frombuffer(data, kind, count, at).reshape(entry["shape"])
        out[entry["name"]] = Stored(values, *((quantised["scale"], quantised["min"]) if quantised else (None, None)))
        at += count * kind.itemsize
    if at != len(data):
        raise ValueError(f"{NAME}.bin has {len(data)} bytes, and {at} are described")
    return out


def stored_tensors(arrays: dict[str, Stored]) -> dict[str, np.ndarray]:
    """Under our names: matrices [inputs, outputs] as NAME.bytes, NAME.zero_point and NAME.scale, or NAME [outputs, inputs] in half
    precision where the source has them as numbers; gains and offsets of channels."""
    out = _matrix("final.weight", arrays["fc"])
    for name, stored in arrays.items():
        if name.endswith("/conv/filters"):
            theirs = name.removesuffix("/conv/filters")
            ours = theirs.replace("/", ".")
            gain, bias, offset = (
                arrays[f"{theirs}/{part}"].numbers for part in ("scale/weights", "conv/bias", "scale/biases")
            )
            out |= _matrix(f"{ours}.weight", stored)
            out |= {
                f"{ours}.gain": gain.astype(np.float32),
                f"{ours}.offset": (gain * bias + offset).astype(np.float32),
            }
    return out


def _matrix(name: str, stored: Stored) -> dict[str, np.ndarray]:
    values = stored.values
    if values.ndim == 4:  # rows, columns, inputs, outputs
        values = values.transpose(2, 0, 1, 3).reshape(-1, values.shape[3])
    if stored.scale is None or stored.least is None:
        return {name: np.ascontiguousarray(values.T.astype(np.float16))}
    return {
        f"{name}.bytes": np.ascontiguousarray(values), f"{name}.zero_point": np.array(-stored.least / stored.scale, np.float32),
        f"{name}.scale": np.array(stored.scale, np.float32),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="package/model")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    content = stored_tensors(read_arrays(options.folder))
    save_file(
        content,
        options.out,
        {
            "source": "@vladmandic/face-api 1.7.15, model/face_recognition_model.bin",
            "licence": "CC0 (weights), MIT (file)",
        },
    )
    print(f"{options.out}: {len(content)} arrays, {options.out.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
