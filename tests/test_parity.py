"""Our networks and functions against the published ones' outputs.

The fixtures (tests/parity, or the folder $PARITY_DIR) hold outputs only; weights and inputs
are rebuilt from their names by `recipe.py`. Networks must agree within 1e-4 relative in
float32, fixtures stored as float16 within 2e-3.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from speech2lip.audio.deepspeech import network_input, stride_windows
from speech2lip.audio.mel import mel_spectrogram
from speech2lip.audio.rows import resample_rows
from speech2lip.geometry import published as compat
from speech2lip.geometry.camera import Intrinsics, project
from speech2lip.importing.checkpoint import state_from_checkpoint
from speech2lip.metrics.cpbd import cpbd
from speech2lip.nets.encodings import frame_encoding, frequency_encoding
from speech2lip.nets.pretrained.bisenet import BiSeNet
from speech2lip.nets.pretrained.lpips import Lpips, state_from_official
from speech2lip.nets.pretrained.syncnet import SyncNet
from speech2lip.nets.pretrained.wav2lip import Wav2LipExpert
from speech2lip.nets.published import PublishedFaces, PublishedNets, lip_mask
from speech2lip.tracking.morphable.bfm import model_of_tensors
from speech2lip.tracking.morphable.model import select_contour
from speech2lip.tracking.surface import light_up

FOLDER = Path(os.environ.get("PARITY_DIR") or Path(__file__).parent / "parity")


def _recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_recipe", FOLDER / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECIPE = _recipe()


class Fixture:
    """One fixture: its outputs by name, its weights and inputs rebuilt with its salt."""

    def __init__(self, name: str):
        self.metadata = json.loads((FOLDER / f"{name}.json").read_text())
        path = FOLDER / f"{name}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as data:
                self.outputs = dict(data)

    def state(self) -> dict[str, torch.Tensor]:
        arrays = RECIPE.state_dict(self.metadata["shapes"], self.metadata["salt"])
        return {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}

    def normal(self, name: str, *shape: int) -> np.ndarray:
        return RECIPE.normal(name, shape, self.metadata["salt"])

    def uniform(self, name: str, *shape: int) -> np.ndarray:
        return RECIPE.uniform(name, shape, self.metadata["salt"])

    def check(self, name: str, ours: torch.Tensor | np.ndarray) -> None:
        """Largest difference over the largest value."""
        theirs = self.outputs[name]
        limit = 2e-3 if theirs.dtype == np.float16 else 1e-4
        ours = np.asarray(ours)
        assert ours.shape == theirs.shape, f"{name}: {ours.shape} and {theirs.shape}"
        error = np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).astype(np.float64).max()
        assert error < limit, f"{name}: relative error {error:.2e}"


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def planes(array: np.ndarray) -> torch.Tensor:
    """Channels-last pictures as channels-first tensors."""
    return tensor(array).permute(0, 3, 1, 2)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def _talking_face(fixture: Fixture) -> PublishedNets:
    net = PublishedNets((36, 24)).eval()
    net.load_state_dict(state_from_checkpoint(fixture.state()), strict=False)
    return net


def test_speech_and_lips_of_the_published_model():
    fixture = Fixture("talking_face")
    net = _talking_face(fixture)
    feature = net.encoder(tensor(fixture.normal("input:audio", 1, 16, 29)))
    fixture.check("audio_feature", feature)
    coordinates = frequency_encoding(tensor(fixture.uniform("input:coords", 96, 2)), 10)
    rgb = net.lip.field(coordinates, {"audio": feature, "time": frame_encoding(torch.tensor([7]))})
    fixture.check("rgb", rgb[0])


def test_fusion_of_the_published_model():
    fixture = Fixture("talking_face")
    net = _talking_face(fixture)
    height, width = 96, 112
    canonical, observed = (
        planes(fixture.uniform(f"input:{name}", 1, height, width, 3)) for name in ("canonical_face", "observed_face")
    )
    faces = PublishedFaces(
        canonical, observed, lip_mask(height, width, (36, 24), 38, 50), tensor(fixture.outputs["grid"]), 38, 50
    )
    fusion = net.fuse_whole(planes(fixture.uniform("input:lip", 1, 24, 36, 3)), faces)
    fixture.check("merged_canonical", fusion.canonical.permute(0, 2, 3, 1))
    fixture.check("merged", fusion.merged.permute(0, 2, 3, 1))
    fixture.check("recon", fusion.result.permute(0, 2, 3, 1))


def test_without_the_half_pixel_the_published_picture_is_missed():
    """The published sampling is a choice (`half_pixel`), not what ours does elsewhere."""
    fixture = Fixture("talking_face")
    grid = tensor(fixture.outputs["grid"])
    image = planes(fixture.uniform("input:observed_face", 1, 96, 112, 3))
    theirs = torch.nn.functional.grid_sample(image, grid, align_corners=False)
    ours = torch.nn.functional.grid_sample(image, compat.half_pixel_grid(grid, 112, 96), align_corners=True)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (torch.nn.functional.grid_sample(image, grid, align_corners=True) - theirs).abs().max() > 0.05


def _poses(fixture: Fixture) -> tuple[np.ndarray, np.ndarray]:
    euler = 0.2 * fixture.normal("input:euler", 5, 3)
    depth = -7 + 0.2 * fixture.normal("input:tz", 5, 1)
    return euler, np.concatenate([0.1 * fixture.normal("input:txy", 5, 2), depth], 1)


def test_poses_and_correspondences():
    fixture = Fixture("warp")
    transforms = compat.pose_matrices(*_poses(fixture), unit=1.0)
    fixture.check("transforms", transforms)
    back = transforms[0] @ np.linalg.inv(transforms[1])
    fixture.check("observed_to_canonical", back[None])
    depth = 6.5 + fixture.uniform("input:depth", 30, 40)
    fixture.check("grid", compat.canonical_grid(depth, back, Intrinsics(60.0, 20.0, 15.0))[None])


def _morphable(fixture: Fixture, vertices: int = 600):
    def draw(name: str, *shape: int) -> np.ndarray:
        return fixture.normal(f"bfm:{name}", *shape)

    def sigma(name: str, count: int, scale: float) -> np.ndarray:
        return scale * (0.5 + np.abs(draw(name, count)))

    rng = np.random.RandomState(7)
    keys = [rng.randint(0, vertices, shape) for shape in (68, (8, 20), (8, 20), 40)]
    tensors = {
        "shape_mean": 7e4 * draw("mu_shape", 3 * vertices).reshape(-1, 3),
        "shape_basis": draw("b_shape", 100, 3 * vertices).reshape(100, -1, 3),
        "shape_sigma": sigma("sig_shape", 100, 1e4),
        "expression_mean": 1e3 * draw("mu_exp", 3 * vertices).reshape(-1, 3),
        "expression_basis": draw("b_exp", 79, 3 * vertices).reshape(79, -1, 3),
        "expression_sigma": sigma("sig_exp", 79, 1e4),
        "texture_mean": 128 + 20 * draw("mu_tex", 3 * vertices).reshape(-1, 3),
        "texture_basis": draw("b_tex", 100, 3 * vertices).reshape(100, -1, 3),
        "texture_sigma": sigma("sig_tex", 100, 5.0),
        "triangles": np.zeros((1, 3), np.int64),
        **dict(zip(("keyinds", "left_contour", "right_contour", "rigid_ids"), keys, strict=True)),
    }
    return model_of_tensors(tensors, 100, 79, 100)


def test_morphable_model():
    fixture = Fixture("morphable_model")
    model = _morphable(fixture)
    identity, expression = 0.5 * fixture.normal("input:id", 1, 100), 0.5 * fixture.normal("input:exp", 5, 79)
    vertices = model.geometry(identity, expression)  # mm, OpenCV axes
    published = vertices / compat.UNIT * compat.FLIP
    fixture.check("geometry", published)
    euler, trans = _poses(fixture)
    poses = compat.pose_matrices(euler, trans)
    seen = vertices @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
    pixels = project(seen, Intrinsics(1100.0, 250.0, 240.0))
    projected = np.concatenate([pixels, -seen[..., 2:] / compat.UNIT], 2)
    fixture.check("projected", projected)
    assert model.keys is not None
    chosen = select_contour(model.keys, pixels)
    fixture.check("landmarks2d", np.take_along_axis(projected, chosen[..., None], 1))
    fixture.check("landmarks3d", np.take_along_axis(published, chosen[..., None], 1))


def test_texture_and_light():
    fixture = Fixture("morphable_model")
    colours = _morphable(fixture).colours(0.5 * fixture.normal("input:tex", 1, 100)[0])[None]
    fixture.check("texture", colours)
    normals = fixture.normal("input:normals", 5, 600, 3)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    fixture.check("lit_colour", light_up(colours, normals, 0.3 * fixture.normal("input:light", 5, 27)))


def test_face_parsing():
    fixture = Fixture("face_parsing")
    net = BiSeNet().eval()
    net.load_state_dict(fixture.state())
    logits = net(tensor(fixture.normal("input:image", 1, 3, 128, 96)))
    fixture.check("logits", logits)
    np.testing.assert_array_equal(logits.argmax(1), fixture.outputs["argmax"])


def test_wav2lip_expert():
    fixture = Fixture("lipsync_expert")
    net = Wav2LipExpert().eval()
    net.load_state_dict(fixture.state())
    fixture.check("audio_embedding", net.embed_mel(tensor(fixture.normal("input:mel", 2, 1, 80, 16))))
    fixture.check("face_embedding", net.embed_face(tensor(fixture.uniform("input:face_window", 2, 15, 48, 96))))


def test_syncnet():
    fixture = Fixture("syncnet_v2")
    net = SyncNet().eval()
    net.load_state_dict(fixture.state())
    fixture.check("audio_feature", net.embed_mfcc(tensor(fixture.normal("input:mfcc", 1, 1, 13, 20))))
    fixture.check("lip_feature", net.embed_frames(255 * tensor(fixture.uniform("input:lip_window", 1, 3, 5, 224, 224))))


def test_lpips():
    fixture = Fixture("lpips_alex")
    state = {name: value.abs() if name.startswith("lin") else value for name, value in fixture.state().items()}
    net = Lpips().eval()
    net.load_state_dict(state_from_official(state, state))
    a, b = (2 * tensor(fixture.uniform(f"input:{name}", 2, 3, 96, 80)) - 1 for name in "ab")
    fixture.check("distance", net(a, b))


def _wave(fixture: Fixture) -> np.ndarray:
    t = np.arange(20_800) / 16_000
    tones = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.2 * np.sin(2 * np.pi * 1750 * t * (1 + 0.1 * t))
    return (tones + 0.05 * fixture.normal("input:wav_noise", 20_800)).astype(np.float32)


@pytest.mark.parametrize("fmin", [55, 95])
def test_mel(fmin):
    fixture = Fixture("mel")
    fixture.check(f"mel_fmin{fmin}", mel_spectrogram(_wave(fixture), fmin))


def test_deepspeech_front_end():
    fixture = Fixture("deepspeech_frontend")
    pcm = (20_000 * _wave(fixture)).astype(np.int16)
    fixture.check("input_vector", network_input(pcm))
    rows = resample_rows(fixture.normal("input:logits", 61, 29), 50, 50, 65)
    fixture.check("interpolated", rows)
    fixture.check("windows", stride_windows(rows))


def test_cpbd():
    from scipy.ndimage import gaussian_filter
    from skimage import data

    for name, expected in Fixture("cpbd").metadata["values"].items():
        picture, sigma = name.split("_blur")
        image = getattr(data, picture)()
        grey = image
        if image.ndim == 3:  # as skimage's rgb2gray, whose matrix product rounds ties by the processor's own kernel
            red, green, blue = np.moveaxis(image / 255, -1, 0)
            grey = np.round(255 * (0.2125 * red + 0.7154 * green + 0.0721 * blue)).astype(np.uint8)
        if int(sigma):
            grey = np.round(gaussian_filter(grey.astype(float), int(sigma))).astype(np.uint8)
        assert cpbd(grey) == pytest.approx(expected, abs=1e-6), name
