"""GNM Head v3 (Google, Apache-2.0): the open morphable model, whole head with eyes, teeth and tongue."""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...geometry.published import FLIP
from ...weights.registry import find, require
from ...weights.safeload import load_arrays
from .model import MorphableModel

_MM_PER_UNIT = 1000.0  # the file is in metres, y up, z to the viewer
_CLAY = (201.0, 167.0, 148.0)  # the model has no texture: an even skin colour to be found by a face detector
_FIELDS = ("template_vertex_positions", "vertex_identity_basis", "expression_basis", "triangles")


def load_gnm() -> MorphableModel:
    """The model from `models/gnm_head.npz`; the head moves as one rigid body (no joints)."""
    path, remedy = require("gnm"), find("gnm").remedy()
    arrays = load_arrays(path, remedy)
    for name in _FIELDS:
        if name not in arrays:
            raise UserError(f"{path} has no array {name}: it is not a GNM head model; {remedy}")
    version = str(arrays.get("version", "3.0"))
    if not version.startswith("3."):
        raise UserError(f"{path} is GNM version {version}, this program reads version 3: {remedy}")
    template, identity, expression, triangles = (arrays[name] for name in _FIELDS)
    vertices = len(template)
    shapes = {
        "template_vertex_positions": (template, (vertices, 3)),
        "vertex_identity_basis": (identity, (len(identity), vertices, 3)),
        "expression_basis": (expression, (len(expression), vertices, 3)),
        "triangles": (triangles, (len(triangles), 3)),
    }
    for name, (value, shape) in shapes.items():
        if value.shape != shape:
            raise UserError(f"{path}: {name} has shape {value.shape}, needed is {shape}; {remedy}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(f"{path}: {name} holds values that are not numbers; {remedy}")
    if triangles.min() < 0 or triangles.max() >= vertices:
        raise UserError(f"{path}: triangles name vertex {triangles.max()}, there are {vertices}; {remedy}")
    scale = (_MM_PER_UNIT * FLIP).astype(np.float32)
    mean = template.astype(np.float32) * scale
    return MorphableModel(
        "gnm", mean - mean.mean(0), identity.astype(np.float32) * scale, expression.astype(np.float32) * scale,
        np.tile(np.array(_CLAY, np.float32), (vertices, 1)), np.zeros((0, vertices, 3), np.float32),
        triangles.astype(np.int64),
    )  # fmt: skip
