"""The published model as a whole: importing the authors' files, rendering, training, the Wav2Lip loss."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from scipy.spatial.transform import Rotation
from test_parity import FOLDER, RECIPE

from speech2lip.cli import main
from speech2lip.config import default_config, load_config
from speech2lip.geometry import published as compat
from speech2lip.geometry.camera import Intrinsics
from speech2lip.media.images import read_image, write_image
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.nets.pretrained.wav2lip import Wav2LipExpert
from speech2lip.nets.published import PublishedFaces, PublishedSpeech2Lip, lip_mask
from speech2lip.preparation.pipeline import preprocess
from speech2lip.rendering.files import render_images
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.trainer import Trainer
from speech2lip.training.wav2lip import crop_face, face_boxes, other_moments, stack_windows, sync_loss
from speech2lip.weights import registry

FRAMES, LIP = 72, (40, 24)


@pytest.fixture(scope="module")
def small(clip, tmp_path_factory):
    """The synthetic speaker at 128 pixels, where whole-frame networks are affordable."""
    root = tmp_path_factory.mktemp("small")
    settings = [
        f"data.root={root / 'subject'}",
        "face.max_crop=128",
        f"train.output={root / 'log'}",
        "data.test_fraction=0.1",
    ]
    config = default_config([*settings, "name=small"])
    preprocess(config, clip / "speaker.mp4")
    return config


@pytest.fixture(scope="module")
def official(small, tmp_path_factory) -> Path:
    """A folder as the authors' preprocessing leaves it, made from the small subject."""
    layout, folder = SubjectLayout(small.data.root), tmp_path_factory.mktemp("official") / "may_face_crop_lip"
    subject, track = layout.load_subject(), layout.load_track()
    size = subject.crop.size
    for part in ("ori_images_face", "images", "coords", "landmarks", "audio", "audio_test"):
        (folder / part).mkdir(parents=True)
    mouth = track.landmarks[0, [61, 291, 0, 17]]
    left, top = (mouth.mean(0) - np.array(LIP) / 2).astype(int)
    poses = track.poses[np.arange(FRAMES)]
    matrices = poses.matrices()
    euler = Rotation.from_matrix(matrices[:, :3, :3]).as_euler("XYZ") * [
        1,
        -1,
        1,
    ]  # the published Ry turns the other way
    trans = poses.trans / compat.UNIT * np.array([1, -1, -1])
    params = {
        "euler": euler,
        "trans": trans,
        "focal": [subject.camera.focal],
        "id": np.zeros((1, 100)),
        "exp": np.zeros((FRAMES, 79)),
    }
    torch.save({k: torch.tensor(v, dtype=torch.float32) for k, v in params.items()}, folder / "track_params.pt")
    depth = np.load(layout.depth)
    np.save(folder / "depth_face_canonical.npy", depth / compat.UNIT)
    camera = Intrinsics(subject.camera.focal, size / 2, size / 2)
    for k in range(FRAMES):
        face = read_image(layout.face_image(k))
        shutil.copy(layout.face_image(k), folder / "ori_images_face" / f"{k + 1:05d}.jpg")
        write_image(
            folder / "images" / f"{k + 1:05d}.jpg", np.ascontiguousarray(face[top : top + LIP[1], left : left + LIP[0]])
        )
        grid = compat.canonical_grid(depth.astype(np.float64), matrices[0] @ np.linalg.inv(matrices[k]), camera)
        np.save(folder / "coords" / f"{k + 1:05d}.npy", grid.astype(np.float32))
    lands = np.zeros((68, 2))
    lands[48:] = np.tile(mouth, (5, 1))
    np.savetxt(folder / "landmarks" / "00001.lms", lands, "%f")
    for name, source in (("face", layout.face_mask), ("head", layout.head_mask), ("lip", layout.lip_mask)):
        cv2.imwrite(str(folder / f"canonical_{name}_mask.jpg"), cv2.imread(str(source)))
    shutil.copy(layout.audio, folder / "audio" / "audio.wav")
    rng = np.random.default_rng(0)
    for name, count in (("audio", FRAMES), ("audio_test", 9)):
        np.save(folder / name / "audio.npy", rng.normal(size=(count, 16, 29)).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def checkpoint(official, tmp_path_factory) -> Path:
    """A checkpoint with the official names and shapes (weights of the parity recipe)."""
    shapes = json.loads((FOLDER / "talking_face.json").read_text())["shapes"]
    shapes["canonical_depth_head"] = list(np.load(official / "depth_face_canonical.npy").shape)
    state = {k: torch.from_numpy(np.asarray(v)) for k, v in RECIPE.state_dict(shapes).items()}
    state["canonical_depth_head"] = torch.from_numpy(np.load(official / "depth_face_canonical.npy"))
    path = tmp_path_factory.mktemp("checkpoint") / "model_may.pt"
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "optimizer": {"state": {}}, "epoch_it": 7}, path)
    return path


@pytest.fixture(scope="module")
def imported(official, checkpoint, tmp_path_factory):
    """Folder and checkpoint after `speech2lip import`: (root, model)."""
    root, model = tmp_path_factory.mktemp("imported") / "may_imported", tmp_path_factory.mktemp("log") / "model.pt"
    assert main(["import", "dataset", str(official), "--out", str(root)]) == 0
    assert main(["import", "checkpoint", str(checkpoint), "--data", str(root), "--out", str(model)]) == 0
    return root, model


def test_imported_dataset_holds_what_the_authors_hold(official, imported, small):
    layout = SubjectLayout(imported[0])
    subject, track = layout.load_subject(), layout.load_track()
    theirs = SubjectLayout(small.data.root)
    assert (subject.name, subject.frames, subject.canonical_frame, subject.lip_size) == ("may", FRAMES, 0, LIP)
    np.testing.assert_allclose(
        track.poses.matrices(), theirs.load_track().poses[np.arange(FRAMES)].matrices(), atol=1e-3
    )
    np.testing.assert_array_equal(np.load(layout.features), np.load(official / "audio" / "audio.npy"))
    np.testing.assert_allclose(np.load(layout.depth), np.load(theirs.depth), rtol=1e-5)
    assert layout.face_image(0).read_bytes() == (official / "ori_images_face" / "00001.jpg").read_bytes()
    x, y, w, h = cv2.boundingRect(np.loadtxt(official / "landmarks" / "00001.lms", dtype=np.float32)[48:])
    assert subject.lip_box.left == int(x + w / 2 - LIP[0] / 2) and subject.lip_box.top == int(
        (y + h / 2) * 1.02 - LIP[1] / 2
    )
    index = parse_subject(layout, 0.1)
    assert len(index.train) >= 40 and len(index.test) >= 5 and index.windows.shape == (FRAMES, 16, 29)


def test_imported_model_computes_what_theirs_computed(official, checkpoint, imported):
    """Whole renders against the fusion of the parity test, on the authors' own pictures and correspondences."""
    root, path = imported
    model = load_checkpoint(path).model
    assert isinstance(model, PublishedSpeech2Lip) and model.half_pixel
    windows = np.load(official / "audio_test" / "audio.npy")
    frames = list(Predictor(load_checkpoint(path), SubjectLayout(root), "cpu").render(windows))
    box = SubjectLayout(root).load_subject().lip_box
    size = frames[0].image.shape[0]
    canonical = (
        torch.from_numpy(read_image(official / "ori_images_face" / "00001.jpg")).permute(2, 0, 1)[None].float() / 255
    )
    for number in (0, 5):
        with torch.no_grad():
            embedding = model.encoder(torch.from_numpy(windows[number : number + 1]))
            lip = model.decode_lips(embedding, torch.tensor([[float(number)]]), torch.eye(4)[None])
            observed = torch.from_numpy(read_image(official / "ori_images_face" / f"{number + 1:05d}.jpg"))
            grid = torch.from_numpy(np.load(official / "coords" / f"{number + 1:05d}.npy"))[None]
            faces = PublishedFaces(
                canonical, observed.permute(2, 0, 1)[None].float() / 255, lip_mask(size, size, LIP, box.left, box.top), grid, box.left,
                box.top,
            )  # fmt: skip
            result = model.fuse_whole(lip, faces).result
        expected = (result[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        difference = np.abs(frames[number].image.astype(int) - expected)
        assert difference.max() <= 1 and (frames[number].full_mask > 0).all()


def test_inference_entry_point_renders_new_features(imported, tmp_path):
    root, model = imported
    assert render_images(model, root, tmp_path / "postfusion", SubjectLayout(root).test_features, "cpu") == 9
    assert len(list((tmp_path / "postfusion").glob("*.jpg"))) == 9


def test_compat_is_what_shifts_by_half_a_pixel(imported):
    root, path = imported
    loaded = load_checkpoint(path)
    windows = np.zeros((1, 16, 29), np.float32)
    assert isinstance(loaded.model, PublishedSpeech2Lip)
    theirs = next(Predictor(loaded, SubjectLayout(root), "cpu").render(windows)).image.astype(int)
    loaded.model.half_pixel = False
    ours = next(Predictor(loaded, SubjectLayout(root), "cpu").render(windows)).image.astype(int)
    assert np.abs(theirs - ours).max() > 2


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("track_params.pt", "track_params"), ("images", "lip pictures"), ("audio/audio.wav", "audio.wav"), ("ori_images_face", "no pictures"),
        ("depth_face_canonical.npy", "depth_face_canonical"), ("canonical_head_mask.jpg", "canonical_head_mask"),
    ],
)  # fmt: skip
def test_incomplete_datasets_are_refused_by_name(official, tmp_path, capsys, remove, message):
    copy = tmp_path / "copy"
    shutil.copytree(official, copy)
    shutil.rmtree(copy / remove) if (copy / remove).is_dir() else (copy / remove).unlink()
    assert main(["import", "dataset", str(copy), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "subject.json").exists()


def test_foreign_checkpoints_are_refused(imported, tmp_path, capsys):
    root, _ = imported
    torch.save({"model": {"layer.weight": torch.zeros(2, 2)}}, tmp_path / "other.pt")
    assert (
        main(["import", "checkpoint", str(tmp_path / "other.pt"), "--data", str(root), "--out", str(tmp_path / "m.pt")])
        == 2
    )
    assert "no published Speech2Lip model" in capsys.readouterr().err and not (tmp_path / "m.pt").exists()


def test_an_import_writes_over_no_model(checkpoint, imported, capsys):
    root, model = imported
    before = model.read_bytes()
    assert main(["import", "checkpoint", str(checkpoint), "--data", str(root), "--out", str(model)]) == 2
    assert "is there already: give another place with --out" in capsys.readouterr().err
    assert model.read_bytes() == before


OFFICIAL_YAML = {
    "method": "face_simple",
    "data": {"dataset": "lip_someone", "path": "dataset/may_face_crop_lip", "width": 120, "height": 80},
    "model": {"lambda_rgb": 1.0, "uv_embed": 10, "use_time": True, "MLP_version": "v2", "use_post_fusion_blackaug": True},
    "training": {
        "out_dir": "log/face_simple/may", "batch_size": 1, "use_perceptual_loss": True, "w_perceptual_loss": 0.01, "use_syncloss": True,
        "w_syncloss": 0.02, "use_local_ensemble": True, "use_canonical_depth_loss_photo_v2": True, "n_workers": 8,
    },
}  # fmt: skip


def test_configuration_is_imported(tmp_path, capsys):
    (tmp_path / "may.yaml").write_text(yaml.safe_dump(OFFICIAL_YAML))
    assert main(["import", "config", str(tmp_path / "may.yaml"), "--out", str(tmp_path / "ours.yaml")]) == 0
    config = load_config(tmp_path / "ours.yaml")
    assert (config.name, config.train.output, config.data.root) == ("may", "log/face_simple", "dataset/may_imported")
    assert config.model.kind == "published" and config.model.compat and config.model.lip.ensemble == "corners"
    assert (config.loss.perceptual, config.loss.perceptual_weight, config.loss.sync) == ("lpips", 0.01, 0.02)
    assert (config.sync.expert, config.sync.start_step, config.sync.freeze_blend) == ("wav2lip", 100_001, True)
    assert (config.audio.backend, config.audio.window, config.train.rate) == ("deepspeech", 16, 1e-4)
    assert "training.n_workers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: {use_time: false}\ntraining: {}", "use_time"), ("a: 1", "no published configuration"), (": [", "YAML")],
)
def test_other_configurations_are_refused(tmp_path, capsys, text, message):
    (tmp_path / "x.yaml").write_text(text)
    assert main(["import", "config", str(tmp_path / "x.yaml"), "--out", str(tmp_path / "y.yaml")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "y.yaml").exists()


# ---------------------------------------------------------------- training


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A random Wav2Lip expert where the official one would lie."""
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path / "home"))
    path = registry.find("lipsync-expert").file
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save({"state_dict": {f"module.{k}": v for k, v in Wav2LipExpert().state_dict().items()}}, path)
    return tmp_path


@pytest.mark.slow
def test_published_networks_train_under_the_wav2lip_loss(small, home):
    """A few steps: every loss acts, Blend-Net freezes when the sync loss starts, the checkpoint renders."""
    changes = [
        "model.kind=published",
        "train.steps=5",
        "train.batch=2",
        "sync.expert=wav2lip",
        "sync.start_step=3",
        "loss.sync=0.01",
    ]
    changes += [
        f"data.root={small.data.root}",
        "name=published",
        f"train.output={home / 'log'}",
        "sync.freeze_blend=true",
    ]
    changes += ["train.validate_every=1", "model.lip.ensemble=corners", "train.amp=false"]
    config = default_config(changes)
    seen: list[dict[str, float]] = []
    blends: list[torch.Tensor] = []

    class Watched(Trainer):
        def _step(self, phase, done):
            seen.append(super()._step(phase, done))
            blends.append(self.model.blend.outlet.weight.detach().clone())
            return seen[-1]

    assert Watched(config).run()
    assert {"photometric", "fused", "perceptual", "depth"} <= set(seen[0]) and "shape" not in seen[0]
    assert ["sync" in terms for terms in seen] == [False, False, False, True, True]
    assert not torch.equal(blends[0], blends[2]) and torch.equal(blends[2], blends[4])
    path = home / "log" / "published" / "model.pt"
    loaded = load_checkpoint(path)
    frame = next(
        Predictor(loaded, SubjectLayout(small.data.root), "cpu").render(
            np.zeros((1, 20, loaded.metadata.audio["channels"]), np.float32)
        )
    )
    assert frame.mask.any()


def test_sync_loss_prefers_generated_frames_in_sync():
    """With an expert that gives the mel's embedding to one window and another to the rest."""

    class Fake(Wav2LipExpert):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def embed_face(self, face):
            first = (face.mean((1, 2, 3)) > 0.5).float()
            return torch.stack([first, 1 - first], 1)

        def embed_mel(self, mel):
            return torch.tensor([[1.0, 0.0]]).expand(len(mel), -1)

    mel, bright, dark = torch.zeros(2, 1, 80, 16), torch.ones(2, 15, 48, 96), torch.zeros(2, 15, 48, 96)
    right, wrong = sync_loss(Fake(), mel, bright, dark), sync_loss(Fake(), mel, dark, bright)
    assert right.item() < 1e-3 and wrong.item() > 50


def test_negatives_never_overlap_the_window_they_stand_against():
    first = np.arange(96)
    other = other_moments(first, 5, 5, 100)
    assert (np.abs(other - first) >= 5).all() and other.min() >= 0 and (other + 5 <= 100).all()


def test_expert_sees_lower_halves_in_bgr():
    faces = torch.rand(10, 3, 96, 96)
    windows = stack_windows(faces, 5)
    assert windows.shape == (2, 15, 48, 96)
    torch.testing.assert_close(windows[1, 3:6], faces[6].flip(0)[:, 48:])


def test_generated_face_is_the_real_one_plus_the_shrunk_change(small, home):
    """Against pasting the region into the whole crop, at its own resolution, and shrinking that."""
    from speech2lip.training.trainer import make_context
    from speech2lip.training.wav2lip import PublishedSync

    context = make_context(small)
    index = context.index
    expert = PublishedSync(context)
    frames = np.array([3])
    batch = context.data.batch(frames)
    size = batch.region.image.shape[-1]
    ramp = torch.hann_window(size, periodic=False)
    change = 0.4 * (ramp[:, None] * ramp).expand(1, 3, -1, -1)
    ours = expert._on_faces(change, batch.region.origin, frames)[0].permute(1, 2, 0).numpy()
    scale, coarse = index.subject.fine_scale, index.subject.coarse
    assert scale > 1 and coarse > 1
    whole = np.zeros((index.subject.fine.size, index.subject.fine.size, 3), np.float32)
    fine = np.kron(change[0].permute(1, 2, 0).numpy(), np.ones((coarse, coarse, 1), np.float32))
    x, y = index.origins[3]
    whole[y : y + len(fine), x : x + len(fine)] = fine[: len(whole) - y, : len(whole) - x]
    theirs = crop_face(whole, face_boxes(index.track.landmarks[3:4])[0] * scale)
    assert np.abs(ours - theirs).max() < 0.03
