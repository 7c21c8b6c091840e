"""Mutations: of bytes, for files of any kind, and of what is inside, for those that are put together again."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

WORDS = (
    b"[]", b"{}", b"null", b"NaN", b"-1", b"1e999", b"0", b"\0", b"9" * 30, b"*a", b"&a", b"!!python/object:os.system", b"[" * 3000,
    b"{" * 3000, b"\xff\xfe", b"../../x", b"-", b":", b"inherit_from: 5\n", b"true",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 10**12, -(10**12), 10**400, 0.5, float("nan"), float("inf"), 1e300, 2**31, 65_536)


def bytes_of(data: bytes, rng: random.Random) -> bytes:
    """Truncated, flipped, overwritten, repeated, emptied."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            del out[at:]
        elif kind == 1 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            word = rng.choice(WORDS)
            out[at : at + rng.choice((0, len(word)))] = word
        elif kind == 3:
            del out[at : at + rng.randrange(1, 50)]
        elif kind == 4:
            out[at:at] = out[max(0, at - rng.randrange(1, 200)) : at]
        elif kind == 5 and at + 8 <= len(out):
            out[at : at + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, b"\x7f" * 8))
        elif kind == 6 and rng.random() < 0.1:
            out = bytearray(rng.choice((b"", b"\0" * 100, rng.randbytes(500))))
    return bytes(out)


def tree(value: Any, rng: random.Random) -> Any:
    """Plain containers with one place changed: other type, other number, entry lost, entry new."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if rng.random() < 0.05:
            return value | {"surprise": 1}
        return value | {key: tree(value[key], rng)}
    if isinstance(value, (list, tuple)) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], tree(value[at], rng), *value[at + 1 :]]
    if torch.is_tensor(value):
        return tensor(value, rng)
    return rng.choice(
        (*NUMBERS, "", "x" * 5000, "../../etc/passwd", "\0", None, True, [], {}, [[]] * 3, {"a": {}}, list(range(5000)), -value if isinstance(value, (int, float)) else 3)
    )  # fmt: skip


def tensor(value: torch.Tensor, rng: random.Random) -> Any:
    kind = rng.randrange(6)
    if kind == 0 and value.is_floating_point() and value.numel():
        out = value.clone(memory_format=torch.contiguous_format)  # weights may lie in memory by channels
        out.view(-1)[rng.randrange(out.numel())] = rng.choice((float("nan"), float("inf"), 1e38))
        return out
    if kind == 1:
        return value[..., None]
    if kind == 2:
        return value.to(torch.int64)
    if kind == 3:
        return torch.zeros(1).expand(10**4, 10**8)  # no memory, until it is copied
    return value.flatten()[:1] if kind == 4 else value.to_sparse() if value.dim() else value.double()


def json_of(data: bytes, rng: random.Random) -> bytes:
    return json.dumps(tree(json.loads(data), rng)).encode()


def npy_of(data: bytes, rng: random.Random) -> bytes:
    return _npy(_array(np.load(io.BytesIO(data)), rng), rng)


def npz_of(data: bytes, rng: random.Random) -> bytes:
    """One entry lost, changed, promised larger than it is, or full of zeros."""
    with np.load(io.BytesIO(data)) as archive:
        entries = {k: _npy(archive[k], None) for k in archive.files}
        name = rng.choice(list(entries))
        if rng.random() < 0.1:
            del entries[name]
        else:
            entries[name] = _npy(_array(archive[name], rng), rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive_out:
        for key, content in entries.items():
            archive_out.writestr(f"{key}.npy", content)
    return out.getvalue()


def torch_of(data: bytes, rng: random.Random) -> bytes:
    content = torch.load(io.BytesIO(data), weights_only=True)
    out = io.BytesIO()
    torch.save(tree(content, rng), out)
    return out.getvalue()


def _array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    kind = rng.randrange(8)
    if kind == 0 and array.dtype.kind == "f" and array.dtype.itemsize > 2 and array.size:
        array = array.copy()
        array.reshape(-1)[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e30))
        return array
    if kind == 1:
        return array[:-1] if array.ndim else array[None]
    if kind == 2:
        return np.concatenate([array, array]) if array.ndim else array
    if kind == 3:
        return array.astype(rng.choice(("i1", "f2", "c8", "U3", "?", "u8")))
    if kind == 4:
        return np.zeros((rng.choice((0, 1, 10**4)), *array.shape[1:3]), array.dtype)
    if kind == 5:
        return np.array([{"a": 1}], object)
    return array.T if kind == 6 else np.full_like(array, rng.choice((0, 1)))


def _npy(array: np.ndarray, rng: random.Random | None) -> bytes:
    out = io.BytesIO()
    if rng is not None and rng.random() < 0.1:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rng.choice((10**6, 10**12, -1)), 478, 2)}
        np.lib.format.write_array_header_1_0(out, header)
        return out.getvalue() + bytes(100)
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def zip_of(data: bytes, rng: random.Random) -> bytes:
    """A member lost, changed, renamed, added, or of another kind; the manifest is changed with it at even odds."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    name = rng.choice(list(members))
    content = members.pop(name)
    target = rng.choice(
        (name, name, name, "../x", "/x", "subject/x.jpg", name.upper(), "subject/images/99999.jpg", "a" * 300)
    )
    if rng.random() < 0.9:
        members[target] = mutated(content, "." + name.rpartition(".")[2], rng)
    if rng.random() < 0.5:
        manifest["files"].pop(name)
        manifest["files"] |= {n: _listed(c) for n, c in members.items() if n == target}
    elif rng.random() < 0.3:
        manifest = tree(manifest, rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED,) * 5 + (zipfile.ZIP_DEFLATED,))) as written:
        for place, held in [*members.items(), ("manifest.json", json.dumps(manifest).encode())]:
            info = zipfile.ZipInfo(place)
            info.external_attr = rng.choice((0,) * 200 + (0o120777 << 16,))
            written.writestr(info, held)
    return out.getvalue()


def _listed(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


Mutation = Callable[[bytes, random.Random], bytes]
INSIDE: dict[str, Mutation] = {".json": json_of, ".npy": npy_of, ".npz": npz_of, ".pt": torch_of, ".zip": zip_of}


def mutated(data: bytes, suffix: str, rng: random.Random) -> bytes:
    """Bytes or contents, at even odds where the contents are known."""
    inside = INSIDE.get(suffix)
    return inside(data, rng) if inside is not None and rng.random() < 0.6 else bytes_of(data, rng)
