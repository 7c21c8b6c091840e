"""Morphable models: reading them, finding landmarks on them, fitting them, tracking with them."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import standins
import torch
from scipy.spatial.transform import Rotation

from speech2lip.config import FitConfig, PhotometricConfig
from speech2lip.demo.head import hair_mask, skin_head
from speech2lip.errors import UserError
from speech2lip.facemesh import LIPS_INNER
from speech2lip.geometry.mesh import head_normals, outward_normals
from speech2lip.media.images import read_image
from speech2lip.subject.layout import SubjectLayout
from speech2lip.tracking.alignment import align
from speech2lip.tracking.bundle import track_head
from speech2lip.tracking.morphable import bfm, gnm
from speech2lip.tracking.morphable.bases import LandmarkBases
from speech2lip.tracking.morphable.fit import Evidence, LandmarkFit, pose_information
from speech2lip.tracking.morphable.model import LandmarkKeys, MorphableModel, select_contour
from speech2lip.tracking.morphable.template import find_mesh_points, render_template
from speech2lip.tracking.morphable.tracker import track_morphable
from speech2lip.tracking.observations import ClipObservations
from speech2lip.tracking.result import FitState, HeadTrack
from speech2lip.tracking.surface import SurfacePoints
from speech2lip.weights import registry

TRACKING = Path("preprocess/data_util/face_tracking/3DMM")


def _without_checksums(patch: pytest.MonkeyPatch) -> None:
    """Stand-ins are not the official files, so their checksums must not count."""
    patch.setattr(registry, "FILES", tuple(replace(f, checksum="") for f in registry.FILES))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of stand-in models, the Basel one converted."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECH2LIP_HOME", str(home))
        _without_checksums(patch)
        standins.write_bfm(home / TRACKING)
        standins.write_gnm(home / "models" / "gnm_head.npz")
        bfm.convert_bfm()
        yield home


@pytest.fixture(scope="module")
def basel(home) -> MorphableModel:
    return bfm.load_bfm()


@pytest.fixture(scope="module")
def open_head(home) -> MorphableModel:
    return gnm.load_gnm()


# ---------------------------------------------------------------- reading


def test_converted_model_is_the_stand_in_in_mm_and_our_axes(basel):
    head = skin_head(198, 175)
    identity = standins.identity_modes(head.vertices, 199)
    geometry = basel.geometry(standins.TRUE_IDENTITY, np.zeros(3))[0]
    shift = geometry.mean(0) - head.vertices.mean(0)
    np.testing.assert_allclose(geometry, head.vertices + shift, atol=0.02)
    assert basel.identity.shape == (100, 34_650, 3) and basel.expression.shape == (79, 34_650, 3)
    np.testing.assert_allclose(basel.identity[7], identity[7], atol=1e-3)
    opened = head.pose_mouth(6.0, 0, 0) - head.vertices
    np.testing.assert_allclose(basel.expression[0], opened, atol=0.01)
    np.testing.assert_allclose(basel.colours(np.zeros(5)), standins.skin_colours(head), atol=0.01)


def test_open_model_is_read_in_mm_and_our_axes(open_head):
    head = skin_head(*standins.GNM_GRID)
    geometry = open_head.geometry(standins.TRUE_IDENTITY, np.zeros(1))[0]
    np.testing.assert_allclose(geometry - geometry.mean(0), head.vertices - head.vertices.mean(0), atol=0.02)
    assert open_head.expression.shape == (383, 17_821, 3)


def _damaged_mat(home: Path, folder: Path, **changes: np.ndarray | None) -> None:
    from scipy.io import loadmat, savemat

    content = {k: v for k, v in loadmat(home / TRACKING / "01_MorphableModel.mat").items() if not k.startswith("__")}
    content = {k: v for k, v in (content | changes).items() if v is not None}
    savemat(folder / "01_MorphableModel.mat", content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapePC": None}, "no field shapePC"), ({"shapeEV": np.ones((7, 1))}, r"shapeEV has shape \(7, 1\)"),
        ({"texMU": np.full((160_470, 1), 1e4)}, "colours must lie in 0 to 255"), ({"shapeMU": np.ones((160_470, 1))}, "mean head"),
        ({"texEV": np.full((199, 1), np.nan)}, "not numbers"),
    ],
)  # fmt: skip
def test_wrong_basel_files_say_what_is_wrong(home, tmp_path, monkeypatch, changes, message):
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path))
    (tmp_path / TRACKING).mkdir(parents=True)
    for name in ("exp_info.npy", "topology_info.npy", "keys_info.npy"):
        os.link(home / TRACKING / name, tmp_path / TRACKING / name)
    _damaged_mat(home, tmp_path / TRACKING, **changes)
    with pytest.raises(UserError, match=message):
        bfm.convert_bfm()
    assert not (tmp_path / bfm.CONVERTED).exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("keys_info.npy", {"keyinds": np.arange(68)}, "no entry left_contour"),
        ("topology_info.npy", {"tris": np.zeros((9, 3), int), "sub_inds": np.arange(5)}, "sub_inds is int64"),
        ("exp_info.npy", {"mu_exp": np.zeros(3), "base_exp": np.zeros((79, 3)), "sig_exp": np.ones(79)}, "mu_exp has 3 values"),
        ("topology_info.npy", {"tris": np.full((9, 3), 99_999), "sub_inds": np.arange(34_650)}, "names vertex 99999"),
    ],
)  # fmt: skip
def test_wrong_subset_files_say_what_is_wrong(home, tmp_path, monkeypatch, file, content, message):
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path))
    (tmp_path / TRACKING).mkdir(parents=True)
    for path in (home / TRACKING).iterdir():
        if path.name != file and path.suffix != ".safetensors":
            os.link(path, tmp_path / TRACKING / path.name)
    np.save(tmp_path / TRACKING / file, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=message):
        bfm.convert_bfm()


def test_wrong_open_models_say_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path))
    path = tmp_path / "models" / "gnm_head.npz"
    path.parent.mkdir()
    np.savez(path, version="3.0", template_vertex_positions=np.zeros((4, 3)))
    with pytest.raises(UserError, match="no array vertex_identity_basis"):
        gnm.load_gnm()
    whole = {
        "vertex_identity_basis": np.zeros((2, 5, 3)),
        "expression_basis": np.zeros((2, 4, 3)),
        "triangles": np.zeros((1, 3), int),
    }
    np.savez(path, version="3.0", template_vertex_positions=np.zeros((4, 3)), **whole)
    with pytest.raises(UserError, match="vertex_identity_basis has shape"):
        gnm.load_gnm()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"not a sound \.npz"):
        gnm.load_gnm()


def test_official_subset_files_are_read(clips):
    """AD-NeRF's own topology and landmark files pass the checks."""
    folder = clips.parent / "bfm"
    raw = bfm.load_pickled_dict(folder / "keys_info.npy", "r")
    keys = bfm._integers(
        folder / "keys_info.npy", raw, {"keyinds": (68,), "left_contour": (8, 20), "right_contour": (8, 20)}
    )
    assert keys["left_contour"].max() < bfm.SUBSET
    raw = bfm.load_pickled_dict(folder / "topology_info.npy", "r")
    assert bfm._integers(folder / "topology_info.npy", raw, {"tris": (None, 3), "sub_inds": (bfm.SUBSET,)})[
        "tris"
    ].shape == (68_746, 3)


# ---------------------------------------------------------------- landmarks on a template


def test_mesh_points_are_found_on_any_topology(basel, open_head):
    """Both stand-ins hold the same mean head: its points must be found at the same places, mirrored pairs
    at mirrored ones, and inner lips on the lip line."""
    places = []
    for model, grid in ((basel, (198, 175)), (open_head, standins.GNM_GRID)):
        points = find_mesh_points(model)
        place = points.positions(model.mean)
        places.append(place - model.mean[model.mean[:, 2].argmin()])
        ring = points.positions(skin_head(*grid).ring[:, None])[:, 0]
        assert np.median(ring[LIPS_INNER]) < 1.0
        for left, right in ((33, 263), (61, 291), (50, 280), (105, 334)):
            np.testing.assert_allclose(place[left] * [-1, 1, 1], place[right], atol=7)
    assert np.median(np.linalg.norm(places[0] - places[1], axis=1)) < 5  # mm


def test_a_model_without_a_face_is_refused(basel):
    backwards = replace(basel, mean=basel.mean * np.array([1, 1, -1], np.float32), texture_mean=basel.texture_mean * 0)
    with pytest.raises(UserError, match="FaceMesh sees a face in only"):
        find_mesh_points(backwards)


def test_normals_point_out_of_the_head_whatever_the_triangles_order(basel):
    points = basel.mean + np.array([0, 0, 600])
    for triangles in (basel.triangles, basel.triangles[:, ::-1]):
        normals = outward_normals(points, triangles)
        front = basel.mean[:, 2] < -30
        assert ((normals * (basel.mean - [0, 0, 60]))[front].sum(1) > 0).mean() > 0.95
        np.testing.assert_allclose(head_normals(basel.mean, triangles), normals, atol=1e-6)


# ---------------------------------------------------------------- the fit


def _small_model(seed: int = 0, vertices: int = 500, identities: int = 20, expressions: int = 15) -> MorphableModel:
    rng = np.random.default_rng(seed)
    angle, height = rng.uniform(-1.4, 1.4, vertices), rng.uniform(-100, 100, vertices)
    mean = np.stack([75 * np.sin(angle), height, -80 * np.cos(angle)], 1) + rng.normal(0, 4, (vertices, 3))

    def smooth(count: int, size: float) -> np.ndarray:
        phase = mean @ rng.normal(0, 1 / 50, (3, count)) + rng.uniform(0, 6, count)
        return size * np.sin(phase).T[..., None] * rng.normal(size=(count, 1, 3))

    texture = np.zeros((0, vertices, 3), np.float32)
    return MorphableModel(
        "small",
        mean,
        smooth(identities, 2.0),
        smooth(expressions, 1.5),
        np.full((vertices, 3), 128.0),
        texture,
        np.zeros((0, 3), int),
    )


def _scene(model: MorphableModel, points: SurfacePoints, frames: int, noise: float, seed: int = 1):
    """Observed landmarks of a moving, speaking head, and the truth."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 25
    turn = np.stack([0.12 * np.sin(2 * t), 0.25 * np.sin(1.3 * t + 1), 0.08 * np.cos(t)], 1)
    trans = np.stack([10 * np.sin(t), 6 * np.cos(1.7 * t), 620 + 15 * np.sin(0.9 * t)], 1)
    identity, expression = (
        rng.normal(size=model.identity.shape[0]),
        rng.normal(size=(frames, model.expression.shape[0])),
    )
    truth = FitState(np.concatenate([turn, trans], 1), identity, expression, 700.0)
    bases = LandmarkBases.at_points(model, points, 1.0)
    exact = bases.predict(
        replace(truth, identity=bases.identity_map.T @ identity, expression=expression @ bases.expression_map)
    )
    return exact + rng.normal(0, noise, exact.shape), truth


def _fit(model: MorphableModel, points: SurfacePoints, config: FitConfig) -> LandmarkFit:
    return LandmarkFit(LandmarkBases.at_points(model, points, config.keep), config)


def _start(fit: LandmarkFit, truth: FitState, seed: int = 2) -> FitState:
    rng = np.random.default_rng(seed)
    return fit.bases.initial(truth.poses + rng.normal(0, [0.05] * 3 + [4, 4, 40], truth.poses.shape), 850.0)


def _evidence(observed: np.ndarray, focal: float = 850.0) -> Evidence:
    return Evidence(observed, np.ones(observed.shape[1]), 90.0, focal)


def test_exact_landmarks_are_explained_and_poses_recovered():
    model, points = _small_model(), SurfacePoints.of_vertices(np.arange(0, 500, 4))
    observed, truth = _scene(model, points, 40, 0.0)
    config = FitConfig(identity_weight=1e-3, expression_weight=1e-3, focal_prior=3.0, iterations=40)
    fit = _fit(model, points, config)
    state = fit.joint(_evidence(observed), _start(fit, truth))
    error = np.linalg.norm(observed - fit.bases.predict(state), axis=2)
    assert np.sqrt((error**2).mean()) < 0.05
    turn = (Rotation.from_rotvec(state.poses[:, :3]) * Rotation.from_rotvec(truth.poses[:, :3]).inv()).magnitude()
    assert np.degrees(np.median(turn)) < 0.6
    assert abs(state.focal / truth.focal - 1) < 0.05


def test_reduced_bases_give_the_models_own_coefficients():
    """Coefficients of the full model, expanded from the fit's, explain the landmarks as well."""
    model, points = _small_model(), SurfacePoints.of_vertices(np.arange(0, 500, 4))
    observed, truth = _scene(model, points, 10, 0.2)
    fit = _fit(model, points, FitConfig())
    state = fit.joint(_evidence(observed), _start(fit, truth))
    identity, expression = fit.bases.expand(state)
    vertices = model.geometry(identity, expression)[:, points.vertices[:, 0]]
    seen = vertices @ Rotation.from_rotvec(state.poses[:, :3]).as_matrix().transpose(0, 2, 1) + state.poses[:, None, 3:]
    np.testing.assert_allclose(state.focal * seen[..., :2] / seen[..., 2:], fit.bases.predict(state), atol=0.05)


def _adam(fit: LandmarkFit, observed: np.ndarray, start: FitState, steps: int) -> float:
    """The same objective (Huber's loss, priors) by a long Adam run; returns the landmarks' root mean square error."""
    unknown = {
        "poses": torch.tensor(start.poses), "identity": torch.tensor(start.identity), "expression": torch.tensor(start.expression),
        "focal": torch.tensor(np.log(start.focal)),
    }  # fmt: skip
    for value in unknown.values():
        value.requires_grad_(True)
    mean, identity, expression, target = (
        torch.tensor(a) for a in (fit.bases.mean, fit.bases.identity, fit.bases.expression, observed)
    )
    rates = [{"params": [unknown["poses"]], "lr": 0.02}, {"params": [unknown["focal"]], "lr": 0.005}]
    rates += [{"params": [unknown["identity"], unknown["expression"]], "lr": 0.02}]
    optimizer = torch.optim.Adam(rates)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    scale = torch.tensor([1.0] * 3 + [50.0] * 3)  # radians and millimetres under one rate
    base = torch.tensor(start.poses)
    weight = fit.options.information(_evidence(observed).iod)
    for _ in range(steps):
        poses = base + (unknown["poses"] - base) * scale
        shape = mean + identity @ unknown["identity"] + torch.einsum("nce,te->tnc", expression, unknown["expression"])
        angle = poses[:, :3].norm(dim=1).clamp(min=1e-9)[:, None, None]
        axis = poses[:, :3] / angle[..., 0]
        zero = torch.zeros(len(poses), dtype=poses.dtype)
        cross = torch.stack(
            [zero, -axis[:, 2], axis[:, 1], axis[:, 2], zero, -axis[:, 0], -axis[:, 1], axis[:, 0], zero], 1
        ).reshape(-1, 3, 3)  # fmt: skip
        rotation = torch.eye(3, dtype=poses.dtype) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross
        seen = shape @ rotation.transpose(1, 2) + poses[:, None, 3:]
        predicted = unknown["focal"].exp() * seen[..., :2] / seen[..., 2:]
        error = (predicted - target).square().sum(-1)
        size = (error + 1e-12).sqrt()
        limit = 2 * size.median().detach()
        huber = torch.where(size < limit, error, 2 * limit * size - limit**2)
        prior = len(poses) * unknown["identity"].square().sum() + unknown["expression"].square().sum()
        loss = huber.sum() * weight + fit.options.identity_weight * prior
        loss = loss + len(poses) * ((unknown["focal"] - np.log(850.0)) / fit.options.focal_prior) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return error.mean().sqrt().item()


def test_twelve_steps_of_least_squares_reach_the_residual_of_3000_adam_steps():
    model, points = _small_model(), SurfacePoints.of_vertices(np.arange(0, 500, 4))
    observed, truth = _scene(model, points, 40, 0.5)
    fit = _fit(model, points, FitConfig(identity_weight=0.02, expression_weight=0.02, iterations=12))
    start = _start(fit, truth)
    adam = _adam(fit, observed, start, 3000)
    state = fit.joint(_evidence(observed), start)
    ours = float(np.sqrt((np.linalg.norm(observed - fit.bases.predict(state), axis=2) ** 2).mean()))
    assert ours <= 1.02 * adam, f"Adam {adam:.3f} px, ours {ours:.3f} px"


def test_frames_one_by_one_agree_with_all_together():
    model, points = _small_model(), SurfacePoints.of_vertices(np.arange(0, 500, 4))
    observed, truth = _scene(model, points, 12, 0.3)
    fit, evidence = _fit(model, points, FitConfig(iterations=40)), _evidence(observed)
    together = fit.joint(evidence, _start(fit, truth))
    alone, information = fit.each(evidence, together)
    np.testing.assert_allclose(alone.poses[:, :3], together.poses[:, :3], atol=2e-3)
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_landmarks_and_weights_of_different_counts_are_refused():
    with pytest.raises(ValueError, match=r"observed has shape \[3, 7, 2\], needed is \[\*, 6, 2\]"):
        Evidence(np.zeros((3, 7, 2)), np.ones(6), 90.0, 850.0)


def test_outliers_do_not_move_the_pose():
    model, points = _small_model(), SurfacePoints.of_vertices(np.arange(0, 500, 4))
    observed, truth = _scene(model, points, 12, 0.1)
    wrong = observed.copy()
    wrong[:, :12] += 60
    fit = _fit(model, points, FitConfig(focal_prior=0.01))
    clean, hit = (fit.joint(_evidence(o, 700.0), _start(fit, truth)) for o in (observed, wrong))
    turn = (Rotation.from_rotvec(clean.poses[:, :3]) * Rotation.from_rotvec(hit.poses[:, :3]).inv()).magnitude()
    assert np.degrees(turn).max() < 1.0


def test_contour_vertices_follow_the_pose():
    pixels = np.zeros((2, 400, 2))
    pixels[..., 0] = np.random.default_rng(0).uniform(0, 100, (2, 400))
    keys = LandmarkKeys(
        np.arange(68), np.arange(100, 260).reshape(8, 20), np.arange(240, 400).reshape(8, 20), np.arange(3)
    )
    chosen = select_contour(keys, pixels)
    for t in range(2):
        for k in range(8):
            assert pixels[t, chosen[t, k], 0] == pixels[t, keys.left[k], 0].min()
            assert pixels[t, chosen[t, 9 + k], 0] == pixels[t, keys.right[k], 0].max()
    assert (chosen[:, 8] == 8).all() and (chosen[:, 17:] == np.arange(17, 68)).all()


def test_pose_information_is_the_schur_complement():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(3, 10, 12))
    normal = half @ half.transpose(0, 2, 1)
    covariance = np.linalg.inv(normal)[:, :6, :6]
    np.testing.assert_allclose(pose_information(normal), np.linalg.inv(covariance), rtol=1e-6)


# ---------------------------------------------------------------- whole runs


def _rotation_error(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    a, b = Rotation.from_rotvec(found), Rotation.from_rotvec(true)
    offset = (b.inv() * a).mean()
    return np.degrees((b * offset * a.inv()).magnitude())


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["bfm", "gnm"])
def test_recipe_with_a_morphable_model(home, workspace, clip, truth, tracker):
    """`preprocess_may.sh` on the synthetic speaker: poses against the truth, and training starts from its folder."""
    subject = workspace / "dataset" / f"{tracker}_face_crop_lip"
    shutil.copy(clip / "speaker.mp4", workspace / "dataset" / f"{tracker}.mp4") if (
        workspace / "dataset"
    ).is_dir() else None
    (workspace / "dataset").mkdir(exist_ok=True)
    shutil.copy(clip / "speaker.mp4", workspace / "dataset" / f"{tracker}.mp4")
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix, "PYTHONPATH": str(workspace), "SPEECH2LIP_HOME": str(home)}

    def run(*command: str, cwd: str = ".") -> None:
        done = subprocess.run(command, cwd=workspace / cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    run("bash", "preprocess_may.sh", tracker, f"face.tracker={tracker}", "data.test_fraction=0.2", cwd="preprocess")
    layout = SubjectLayout(subject)
    found = layout.load_track()
    error = _rotation_error(found.poses.rotvec, truth["rotvec"])
    print(f"{tracker}: rotation error {np.median(error):.2f} degrees median, {np.percentile(error, 90):.2f} at 90 %")
    assert np.median(error) < 1.0 and found.valid.all()
    with np.load(subject / "head.npz") as head:
        opening = head["expression"] @ np.eye(head["expression"].shape[1])[0]
        assert np.corrcoef(opening, truth["mouth"][:, 0])[0, 1] > 0.97
    depth = np.load(layout.depth)
    assert np.isfinite(depth).all() and 300 < np.median(depth) < 1200
    quick = [
        "train.steps=4",
        "train.minutes=0",
        "train.batch=2",
        "model.lip.width=32",
        "model.lip.layers=3",
        "model.lip.skip_after=0",
    ]
    quick += ["model.blend.widths=[8,8]", "data.test_fraction=0.2", "loss.sync=0", "train.speech_share=0"]
    run("bash", "scripts/example/train_may.sh", tracker, *quick)
    assert (workspace / "log" / "face_simple" / tracker / "model.pt").is_file()


def _observations(subject_config) -> ClipObservations:
    """The synthetic clip as trackers see it."""
    layout = SubjectLayout(subject_config.data.root)
    found = layout.load_landmarks()
    x, y = found.crop.to_crop(np.array([191.5, 191.5]))
    segments, side = [(0, len(found.seen))], 384 * found.crop.scale
    return ClipObservations(
        found.landmarks, found.seen, segments, (float(x), float(y)), side, lambda f: read_image(layout.face_image(f))
    )


@pytest.mark.slow
def test_table_of_trackers(basel, open_head, truth, subject_config):
    """The table of docs/published.md: every tracker with landmarks alone and with colours, which must improve it."""
    clip = _observations(subject_config)

    def error(head: HeadTrack) -> float:
        return float(np.median(_rotation_error(head.poses.rotvec, truth["rotvec"])))

    def fitted(model: MorphableModel, kind: str, weight: float) -> float:
        return error(track_morphable(model, clip, FitConfig(landmarks=kind), PhotometricConfig(weight=weight)))

    built_in = track_head(clip)
    rows = {"bundle": (error(built_in), error(align(built_in, clip)))}
    for model, kind in ((basel, "mesh"), (basel, "68"), (open_head, "mesh")):
        rows[f"{model.name} {kind}"] = (fitted(model, kind, 0.0), fitted(model, kind, 1.0))
    for name, (landmarks_alone, colours) in rows.items():
        print(f"{name}: {landmarks_alone:.2f} degrees from landmarks alone, {colours:.2f} with colours")
        assert colours < landmarks_alone


def test_published_landmarks_and_no_colours_work_too(home, basel, clip, truth, subject_config):
    """68 points with outline, without the photometric step, through the library."""
    observed = _observations(subject_config)
    head = track_morphable(basel, observed, FitConfig(landmarks="68"), PhotometricConfig(weight=0.0))
    assert np.median(_rotation_error(head.poses.rotvec, truth["rotvec"])) < 2.5
    assert head.surface is not None and head.surface.identity.shape == (100,)


def test_open_model_has_no_68_landmarks(open_head):
    clip = ClipObservations(np.ones((60, 478, 3)), np.ones(60, bool), [(0, 60)], (0.0, 0.0), 100.0)
    with pytest.raises(UserError, match=r"fit\.landmarks=mesh"):
        track_morphable(open_head, clip, FitConfig(landmarks="68"))


def test_hair_is_where_hair_grows():
    """The stand-ins' colours: dark above the hairline, skin below."""
    head = skin_head(60, 61)
    colours = standins.skin_colours(head).mean(1)
    hair = hair_mask(head.vertices)
    assert colours[hair > 0.9].mean() < 60 < colours[(hair < 0.1) & (head.ring > 2)].mean()


def test_template_is_lit_and_on_a_plain_ground(open_head):
    view = render_template(open_head, 0, 0)
    assert (view.picture[0, 0] == 110).all() and view.fragments.mask.mean() > 0.1
    assert view.facing[open_head.mean[:, 2].argmin()] > 0.5  # the tip of the nose faces the camera
