"""Stand-ins for the models that users bring: official names and shapes, the synthetic speaker's head inside.

The speaker is not the models' mean: TRUE_IDENTITY of the first modes lead from one to the
other, so a fit has something to find.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speech2lip.demo.head import Head, hair_mask, skin_head
from speech2lip.demo.render import FrameState, HeadRenderer

TRUE_IDENTITY = np.array([1.0, -0.8, 0.7, -1.2, 0.9])
BFM_VERTICES, BFM_SUBSET, BFM_TRIANGLES, BFM_COMPONENTS = 53_490, 34_650, 68_746, 199
GNM_GRID = (71, 251)  # 17,821 vertices
_FLIP = np.array([1.0, -1.0, -1.0])
_REST = FrameState(np.eye(3), np.zeros(3), (0.0, 0.0, 0.0))


def identity_modes(vertices: np.ndarray, count: int, seed: int = 1) -> np.ndarray:
    """[count, V, 3] mm per standard deviation: five of the head's proportions, then smooth noise."""
    x, y, z = (vertices / 100).T
    modes = np.zeros((count, len(vertices), 3))
    modes[0, :, 0] = 4 * x
    modes[1, :, 1] = 4 * y
    modes[2, :, 2] = 4 * z
    modes[3, :, 0] = 5 * x * np.clip(y, 0, None)
    modes[4, :, 2] = -3 * np.exp(-((x / 0.12) ** 2) - ((y - 0.25) / 0.2) ** 2)
    modes[5:] = _smooth(vertices, count - 5, seed)
    return modes


def expression_modes(head: Head, count: int, seed: int = 2) -> np.ndarray:
    """[count, V, 3] mm per standard deviation: opening, width and protrusion of the mouth, then smooth noise."""
    modes = np.zeros((count, len(head.vertices), 3))
    for k, pose in enumerate(((6.0, 0, 0), (0, 0.08, 0), (0, 0, 3.0))):
        modes[k] = head.pose_mouth(*pose) - head.vertices
    modes[3:] = 0.3 * _smooth(head.vertices, count - 3, seed)
    return modes


def _smooth(vertices: np.ndarray, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    phase = vertices @ rng.normal(0, 1 / 40, (3, count)) + rng.uniform(0, 2 * np.pi, count)
    return (0.4 * np.sin(phase).T[..., None] * rng.normal(size=(count, 1, 3))).astype(np.float32)


def skin_colours(head: Head) -> np.ndarray:
    """[V, 3] colours in 0..255 of the synthetic speaker's skin."""
    renderer = HeadRenderer(64)
    colours = renderer.skin_colour(head.vertices, head.ring, hair_mask(head.vertices), _REST)
    return np.clip(colours, 0, 1) * 255


def mean_head(head: Head, identity: np.ndarray) -> np.ndarray:
    return head.vertices - np.tensordot(TRUE_IDENTITY, identity[: len(TRUE_IDENTITY)], 1)


def write_bfm(folder: Path) -> None:
    """`01_MorphableModel.mat` and AD-NeRF's three files, all arrays in their official shapes."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    head = skin_head(198, 175)
    assert len(head.vertices) == BFM_SUBSET
    rng = np.random.default_rng(0)
    subset = np.sort(rng.choice(BFM_VERTICES, BFM_SUBSET, replace=False))
    identity = identity_modes(head.vertices, BFM_COMPONENTS)
    expression = expression_modes(head, 79)
    texture = 40 * _smooth(head.vertices, BFM_COMPONENTS, 3)
    mean_expression = np.zeros((BFM_SUBSET, 3)) + [
        0.0,
        3.0,
        -2.0,
    ]  # moves the mean head, which the tracker centres again
    fields = {}
    for name, mean, basis in (
        ("shape", mean_head(head, identity), identity * _FLIP * 1e3), ("tex", skin_colours(head), texture),
    ):  # fmt: skip
        scale = np.sqrt((basis.reshape(BFM_COMPONENTS, -1) ** 2).mean(1))
        whole = np.zeros((BFM_VERTICES, 3, BFM_COMPONENTS), np.float32)
        whole[subset] = (basis / scale[:, None, None]).transpose(1, 2, 0)
        centre = np.zeros((BFM_VERTICES, 3), np.float32)
        centre[subset] = mean * _FLIP * 1e3 if name == "shape" else mean
        fields[f"{name}MU"] = centre.reshape(-1, 1)
        fields[f"{name}PC"] = whole.reshape(3 * BFM_VERTICES, BFM_COMPONENTS)
        fields[f"{name}EV"] = scale.reshape(-1, 1).astype(np.float32)
    savemat(folder / "01_MorphableModel.mat", {**fields, "tl": np.zeros((1, 3))})
    sigma = np.sqrt((expression.reshape(79, -1) ** 2).mean(1)) * 1e3
    _save_dict(
        folder / "exp_info.npy", mu_exp=(mean_expression * 1e3).ravel(),
        base_exp=(expression * _FLIP * 1e3).reshape(79, -1) / sigma[:, None], sig_exp=sigma,
    )  # fmt: skip
    triangles = head.triangles[:BFM_TRIANGLES]  # what is left out meets at the back of the skull
    _save_dict(
        folder / "topology_info.npy", tris=triangles, sub_inds=subset, vert_tris=np.zeros((BFM_SUBSET, 8), np.int64)
    )
    _save_dict(folder / "keys_info.npy", **landmark_keys(head))


def landmark_keys(head: Head) -> dict[str, np.ndarray]:
    """68 landmark vertices and outline candidates, by the synthetic face's own features."""
    front = head.vertices[:, 2] < 0

    def nearest(x: float, y: float) -> int:
        distance = np.hypot(head.vertices[:, 0] - x, head.vertices[:, 1] - y) + 1e3 * ~front
        return int(distance.argmin())

    jaw = [(-74, -5), (-74, 14), (-72, 33), (-68, 50), (-60, 68), (-49, 83), (-34, 97), (-18, 108), (0, 112)]
    jaw += [(-x, y) for x, y in jaw[-2::-1]]
    brows = [(-46, -17), (-38, -22), (-28, -23), (-19, -21), (-12, -18)]
    brows += [(-x, y) for x, y in brows[::-1]]
    nose = [(0, -8), (0, 4), (0, 16), (0, 27), (-10, 34), (-5, 36), (0, 37), (5, 36), (10, 34)]
    eye = [(-42, -3), (-35, -8), (-27, -8), (-21, -2), (-27, 2), (-35, 2)]
    eyes = eye + [(-x, y) for x, y in (eye[3], eye[2], eye[1], eye[0], eye[5], eye[4])]
    outer = [
        (-27, 62),
        (-17, 57),
        (-6, 54),
        (0, 55),
        (6, 54),
        (17, 57),
        (27, 62),
        (17, 70),
        (7, 72),
        (0, 73),
        (-7, 72),
        (-17, 70),
    ]
    ring = np.flatnonzero(head.ring == 0)
    inner = [
        ring[np.abs(np.angle(np.exp(1j * (head.angle[ring] - a)))).argmin()] for a in np.pi + np.arange(8) * np.pi / 4
    ]
    points = [nearest(*p) for p in jaw + brows + nose + eyes + outer] + [int(v) for v in inner]
    sides = {}
    for side, start in (("left_contour", 0), ("right_contour", 9)):
        rows = []
        for k in range(8):
            x, y = jaw[start + k]
            line = np.flatnonzero(
                (np.abs(head.vertices[:, 1] - y) < 1.6) & (head.vertices[:, 0] * np.sign(x) > 0.55 * abs(x))
            )
            order = line[np.argsort(head.vertices[line, 2])]
            rows.append(order[np.linspace(0, len(order) - 1, 20).astype(int)])
        sides[side] = np.array(rows)
    upper = np.flatnonzero(
        front & (head.vertices[:, 1] < 20) & (head.vertices[:, 1] > -60) & (np.abs(head.vertices[:, 0]) < 55)
    )
    return {"keyinds": np.array(points), **sides, "rigid_ids": upper[np.linspace(0, len(upper) - 1, 464).astype(int)]}


def write_gnm(path: Path) -> None:
    """`gnm_head.npz` in metres, y up, with the official arrays and shapes."""
    head = skin_head(*GNM_GRID)
    vertices = len(head.vertices)
    identity, expression = identity_modes(head.vertices, 253), expression_modes(head, 383)
    scale = _FLIP / 1000
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, version="3.0", variant="head", template_vertex_positions=(mean_head(head, identity) * scale).astype(np.float32),
        vertex_identity_basis=(identity * scale).astype(np.float32), expression_basis=(expression * scale).astype(np.float32),
        triangles=head.triangles.astype(np.int32), skinning_weights=np.eye(4, vertices, dtype=np.float32),
        template_joint_positions=np.zeros((4, 3), np.float32), joint_identity_basis=np.zeros((253, 4, 3), np.float32),
        joint_parent_indices=np.array([-1, 0, 1, 1]), pose_correctives_regressor=np.zeros((36, 3 * vertices), np.float32),
        joint_names=np.array(["neck", "head", "left_eye", "right_eye"]),
        identity_names=np.array([f"head_{k:03d}" for k in range(253)]),
        expression_names=np.array([f"lower_face_region_{k:03d}" for k in range(383)]),
    )  # fmt: skip


def _save_dict(path: Path, **arrays: np.ndarray) -> None:
    np.save(path, np.array(arrays, dtype=object), allow_pickle=True)
