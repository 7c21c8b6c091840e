"""Basel Face Model 2009 with AD-NeRF's subset files -> one safe file, and back into a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ...errors import UserError
from ...files import atomic_path
from ...geometry.published import FLIP, UNIT
from ...weights.registry import find, require
from ...weights.safeload import load_pickled_dict
from .model import LandmarkKeys, MorphableModel

CONVERTED = "3DMM_info.safetensors"  # beside 01_MorphableModel.mat
VERTICES, COMPONENTS, SUBSET, EXPRESSIONS = 53_490, 199, 34_650, 79
_SCALE = 1e5  # file units (micrometres) per unit of the published tracker
_MAT_FIELDS = {
    "shapeMU": (3 * VERTICES, 1), "shapePC": (3 * VERTICES, COMPONENTS), "shapeEV": (COMPONENTS, 1),
    "texMU": (3 * VERTICES, 1), "texPC": (3 * VERTICES, COMPONENTS), "texEV": (COMPONENTS, 1),
}  # fmt: skip


def convert_bfm() -> Path:
    """Check the four source files and write `3DMM_info.safetensors`; returns its path."""
    model = _read_mat(require("bfm"))
    files = {name: require(f"bfm-{name}") for name in ("expression", "topology", "keys")}
    raw = {name: load_pickled_dict(path, find(f"bfm-{name}").remedy()) for name, path in files.items()}
    topology = _integers(files["topology"], raw["topology"], {"tris": (None, 3), "sub_inds": (SUBSET,)})
    keys = _integers(
        files["keys"],
        raw["keys"],
        {"keyinds": (68,), "left_contour": (8, 20), "right_contour": (8, 20), "rigid_ids": (None,)},
    )
    _below(files["topology"], "sub_inds", topology["sub_inds"], VERTICES)
    _below(files["topology"], "tris", topology["tris"], SUBSET)
    for name, value in keys.items():
        _below(files["keys"], name, value, SUBSET)
    expression = _expression(files["expression"], raw["expression"])
    subset = topology["sub_inds"]
    tensors: dict[str, np.ndarray] = {"triangles": topology["tris"], **keys, **expression}
    for kind, name in (("shape", "shape"), ("tex", "texture")):
        basis = model[f"{kind}PC"].reshape(VERTICES, 3, COMPONENTS)[subset]
        tensors[f"{name}_mean"] = model[f"{kind}MU"].reshape(VERTICES, 3)[subset]
        tensors[f"{name}_basis"] = np.ascontiguousarray(basis.transpose(2, 0, 1))
        tensors[f"{name}_sigma"] = model[f"{kind}EV"].ravel()
    target = find("bfm").sibling(CONVERTED)
    with atomic_path(target) as path:
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, str(path))
    return target


def load_bfm(identities: int = 100, expressions: int = EXPRESSIONS, textures: int = 100) -> MorphableModel:
    """The converted model, converting it first where that has not been done."""
    path = find("bfm").sibling(CONVERTED)
    if not path.is_file():
        convert_bfm()
    try:
        return model_of_tensors(load_file(path), identities, expressions, textures)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a converted Basel Face Model ({error}): remove it and convert again") from error


def model_of_tensors(
    tensors: dict[str, np.ndarray], identities: int, expressions: int, textures: int
) -> MorphableModel:
    """A model in our axes and mm, its bases per standard deviation, from the published arrays.

    The published tracker centres the sum of the mean shape and the mean expression.
    """
    mean = tensors["shape_mean"] + tensors["expression_mean"]
    mean = mean - mean.mean(0)
    unit = UNIT / _SCALE

    def basis(name: str, count: int, scale: np.ndarray | float) -> np.ndarray:
        sigma = tensors[f"{name}_sigma"][:count, None, None]
        return np.asarray(tensors[f"{name}_basis"][:count] * sigma * scale, np.float32)

    keys = LandmarkKeys(*(tensors[k] for k in ("keyinds", "left_contour", "right_contour", "rigid_ids")))
    return MorphableModel(
        "bfm", np.asarray(mean * unit * FLIP, np.float32), basis("shape", identities, unit * FLIP),
        basis("expression", expressions, unit * FLIP), np.asarray(tensors["texture_mean"], np.float32),
        basis("texture", textures, 1.0), tensors["triangles"], keys,
    )  # fmt: skip


def _read_mat(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    remedy = find("bfm").remedy()
    try:
        content = loadmat(str(path), variable_names=list(_MAT_FIELDS))
    except NotImplementedError as error:
        raise UserError(f"{path} is a MATLAB 7.3 file: save it again with the option -v7, or {remedy}") from error
    except Exception as error:  # scipy raises its own kinds for each way a file can be damaged
        raise UserError(f"{path} is not a sound MATLAB file ({error}): {remedy}") from error
    for name, shape in _MAT_FIELDS.items():
        if name not in content:
            raise UserError(f"{path} has no field {name}: it is not the Basel Face Model of 2009; {remedy}")
        value = content[name]
        if value.size != int(np.prod(shape)) or (shape[1] > 1 and value.shape != shape):
            raise UserError(f"{path}: {name} has shape {value.shape}, needed is {shape}; {remedy}")
        _finite(path, name, value, remedy)
    low, high = float(content["texMU"].min()), float(content["texMU"].max())
    if low < -10 or high > 300:
        raise UserError(f"{path}: texMU lies in {low:.0f} to {high:.0f}, colours must lie in 0 to 255; {remedy}")
    size = float(np.ptp(content["shapeMU"].reshape(-1, 3), axis=0).max())
    if not 5e4 < size < 1e6:
        raise UserError(f"{path}: the mean head is {size:.3g} micrometres large, expected is about 200,000; {remedy}")
    return {name: np.asarray(content[name], np.float32) for name in _MAT_FIELDS}


def _expression(path: Path, raw: dict[str, Any]) -> dict[str, np.ndarray]:
    """mu_exp, base_exp and sig_exp as mean [V, 3], basis [79, V, 3] and sigma [79]."""
    remedy = find("bfm-expression").remedy()
    for name in ("mu_exp", "base_exp", "sig_exp"):
        if name not in raw:
            raise UserError(f"{path} has no entry {name}: {remedy}")
    mean, basis, sigma = (np.asarray(raw[name], np.float32) for name in ("mu_exp", "base_exp", "sig_exp"))
    if basis.ndim == 2 and basis.shape[0] == 3 * SUBSET:
        basis = basis.T
    for name, value, size in (
        ("mu_exp", mean, 3 * SUBSET), ("base_exp", basis, 3 * SUBSET * EXPRESSIONS), ("sig_exp", sigma, EXPRESSIONS),
    ):  # fmt: skip
        if value.size != size:
            raise UserError(f"{path}: {name} has {value.size} values, needed are {size}: {remedy}")
        _finite(path, name, value, remedy)
    return {
        "expression_mean": mean.reshape(SUBSET, 3), "expression_basis": basis.reshape(EXPRESSIONS, SUBSET, 3),
        "expression_sigma": sigma.ravel(),
    }  # fmt: skip


def _integers(path: Path, raw: dict[str, Any], shapes: dict[str, tuple[int | None, ...]]) -> dict[str, np.ndarray]:
    remedy = find("bfm-topology" if "tris" in shapes else "bfm-keys").remedy()
    out = {}
    for name, shape in shapes.items():
        if name not in raw:
            raise UserError(f"{path} has no entry {name}: {remedy}")
        value = np.asarray(raw[name])
        value = value.ravel() if len(shape) == 1 else value
        fits = value.ndim == len(shape) and all(w in (None, s) for w, s in zip(shape, value.shape, strict=True))
        if not fits or value.dtype.kind not in "iu":
            raise UserError(
                f"{path}: {name} is {value.dtype} of shape {value.shape}, needed are integers {shape}: {remedy}"
            )
        out[name] = value.astype(np.int64)
    return out


def _below(path: Path, name: str, value: np.ndarray, limit: int) -> None:
    if value.min() < 0 or value.max() >= limit:
        raise UserError(f"{path}: {name} names vertex {value.max()}, there are {limit}: get the file again")


def _finite(path: Path, name: str, value: np.ndarray, remedy: str) -> None:
    if not np.isfinite(value).all():
        raise UserError(f"{path}: {name} holds values that are not numbers; {remedy}")
