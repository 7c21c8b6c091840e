"""Renders of the synthetic speaker: signed, the same twice, and marked where that is wanted."""

import hashlib
from dataclasses import replace
from pathlib import Path

import forging
import numpy as np
import pytest

import speech2lip
from speech2lip.cli import main
from speech2lip.config import Config, changed, config_from_dict, config_to_dict, load_settings
from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames, read_pictures
from speech2lip.media.encode import VideoWriter
from speech2lip.media.facts import Colour
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.media.yuv import Kept, laid_over, places, to_yuv420
from speech2lip.model.checkpoint import load_tensors, save_tensors
from speech2lip.rendering.files import join_frames, render_images
from speech2lip.rendering.label import label_overlay, labelled
from speech2lip.rendering.live import render_live

SIZES = [(640, 360), (360, 640), (1920, 1080), (3840, 2160), (97, 65)]


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    save_wav(path, 0.2 * np.random.default_rng(0).standard_normal(SAMPLE_RATE // 2))
    return path


@pytest.fixture(scope="module")
def rendered(model_path, speech, tmp_path_factory) -> tuple[Path, Path]:
    """The same, twice."""
    folder = tmp_path_factory.mktemp("out")
    out = folder / "a.mp4", folder / "b.mp4"
    for path in out:
        command = ["render", "--model", model_path, "--audio", speech, "--out", path, "--device", "cpu", "render.crf=0"]
        assert main([str(word) for word in command]) == 0
    return out


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_render_names_its_inputs(rendered, model_path, speech, clip):
    verdict = speech2lip.verify(rendered[0])
    said = verdict.statement
    assert verdict.good and said.model == _sha256(model_path) and said.audio == _sha256(speech)
    assert said.source == _sha256(clip / "speaker.mp4") and said.settings["crf"] == 0
    assert said.consent is not None and said.consent.how == "unasked" and not said.consent.given
    assert not {"output", "signing_key", "certificate"} & set(said.settings)
    assert said.subject == speech2lip.verify(rendered[1]).statement.subject


def test_the_same_inputs_give_the_same_pixels(rendered):
    one, two = (path.read_bytes() for path in rendered)
    assert forging.unsigned(one) == forging.unsigned(two)


def test_a_mark_changes_its_corner_alone(rendered, model_path, speech, tmp_path):
    """The command of docs/features.md, at crf 0."""
    out = tmp_path / "c.mp4"
    words = [
        "render",
        "--model",
        model_path,
        "--audio",
        speech,
        "--out",
        out,
        "--device",
        "cpu",
        "--label",
        "render.crf=0",
    ]
    assert main([str(word) for word in words]) == 0
    assert speech2lip.verify(out).statement.settings["label"] == "AI-generated" and main(["verify", str(out)]) == 0
    marked, bare = (list(read_pictures(path, 25.0)) for path in (out, rendered[0]))
    overlay = label_overlay("AI-generated", bare[0].size)
    (x, y), (height, width) = overlay.corner, overlay.alpha.shape
    assert len(marked) == len(bare) > 5
    for one, two in zip(marked, bare, strict=True):
        for step, a, b in zip((1, 2, 2), places(one.planes), places(two.planes), strict=True):
            outside = np.ones(a.shape, bool)
            outside[y // step : (y + height) // step, x // step : (x + width) // step] = False
            np.testing.assert_array_equal(a[outside], b[outside])
        inside = one.rgb[y : y + height, x : x + width].mean(2)
        assert inside.max() > 200 and np.median(inside) < two.rgb[y : y + height, x : x + width].mean()


def test_a_model_of_somebody_else_cannot_switch_credentials_off(model_path, speech, tmp_path):
    content = load_tensors(model_path, "")
    config = changed(config_from_dict(content["config"], "x"), {"render.credentials": False})
    config = changed(config, {"render.signing_key": "/etc/passwd", "render.certificate": "/etc/passwd"})
    save_tensors(tmp_path / "model.pt", {**content, "config": config_to_dict(config)})
    speech2lip.render(tmp_path / "model.pt", speech, tmp_path / "a.mp4", device="cpu")
    assert speech2lip.verify(tmp_path / "a.mp4").good
    speech2lip.render(
        tmp_path / "model.pt", speech, tmp_path / "a.mp4", device="cpu", settings={"render.credentials": False}
    )
    assert speech2lip.verify(tmp_path / "a.mp4").state == "missing"


def test_frames_carry_credentials_and_hand_them_on(model_path, subject_config, speech, tmp_path):
    render_images(model_path, Path(subject_config.data.root), tmp_path / "frames", device="cpu")
    frames = sorted((tmp_path / "frames").glob("*.jpg"))
    verdict = speech2lip.verify(frames[-1])
    assert verdict.good and verdict.statement.model == _sha256(model_path)
    join_frames(tmp_path / "frames", speech, tmp_path / "a.mp4")
    whole = speech2lip.verify(tmp_path / "a.mp4")
    assert whole.good and replace(whole.statement, unhashed="") == verdict.statement
    forging.flip(frames[0], frames[0].stat().st_size - 20)
    join_frames(tmp_path / "frames", speech, tmp_path / "a.mp4")
    assert speech2lip.verify(tmp_path / "a.mp4").state == "missing"


def test_a_stream_is_marked_and_not_signed(model_path, tmp_path):
    sound = [0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE // 4).astype(np.float32) for _ in range(2)]
    render_live(model_path, None, sound, str(tmp_path / "a.mp4"), "cpu", settings={"render.label": "AI-generated"})
    assert speech2lip.verify(tmp_path / "a.mp4").state == "missing"
    frame = next(read_frames(tmp_path / "a.mp4", 25.0))
    (x, y), (height, width) = (o := label_overlay("AI-generated", frame.shape[1::-1])).corner, o.alpha.shape
    assert frame[y : y + height, x : x + width].max() > 200


# ---------------------------------------------------------------- the mark alone


@pytest.mark.parametrize("size", SIZES)
def test_a_mark_is_large_enough_and_inside(size):
    for text in ("AI-generated", "W" * 40):
        overlay = label_overlay(text, size)
        (x, y), (height, width) = overlay.corner, overlay.alpha.shape
        assert x >= 0 and y >= 0 and x + width <= size[0] and y + height <= size[1]
        assert not (x % 2 or y % 2 or height % 2 or width % 2)
        assert overlay.image.shape == (height, width, 3) and overlay.alpha.min() >= 0 and overlay.alpha.max() <= 1
    overlay = label_overlay("H", size)
    rows = np.flatnonzero((overlay.image[..., 0] > 127).any(1))
    assert len(rows) >= 0.028 * min(size)
    assert label_overlay("  ", size) is None and label_overlay("", size) is None


@pytest.mark.parametrize("level", [0, 90, 255])
def test_letters_stand_out_on_any_ground(level):
    frame = np.full((360, 640, 3), level, np.uint8)
    overlay = label_overlay("AI-generated", (640, 360))
    (x, y), (height, width) = overlay.corner, overlay.alpha.shape
    part = laid_over(frame, overlay)[y : y + height, x : x + width, 0].astype(int)
    assert (part > 240).sum() > 100 and np.median(part) <= 0.45 * level + 1
    assert (frame == level).all()


@pytest.mark.parametrize(
    "colour", [Colour(), Colour("smpte170m"), Colour(full_range=True), Colour("bt2020nc", "bt2020", "arib-std-b67")]
)
def test_a_mark_on_planes_is_the_mark_on_the_picture(colour, tmp_path):
    """Both ways into the encoder, losslessly: RGB, and planes that keep their source."""
    image = np.random.default_rng(0).integers(60, 180, (90, 160, 1)).repeat(3, 2).astype(np.uint8)
    overlay, nothing = label_overlay("AI-generated", (160, 90)), np.zeros((0, 0, 3), np.uint8)
    kept = Kept(to_yuv420(image, colour), nothing, nothing, (0, 0))
    frames = []
    for name, frame in (("a", image), ("b", kept)):
        with VideoWriter(tmp_path / f"{name}.mp4", 25.0, crf=0, colour=colour) as video:
            video.write(labelled(frame, overlay))
        frames.append(next(read_frames(tmp_path / f"{name}.mp4", 25.0)).astype(int))
    assert labelled(kept, None) is kept and labelled(image, None) is image
    assert np.abs(frames[0] - frames[1]).mean() < 1.5 and np.abs(frames[0] - image).max() > 60


def test_text_that_cannot_be_drawn_is_refused():
    for text, said in (
        ("G\u00e9n\u00e9r\u00e9", "cannot be drawn"),
        ("x" * 41, "41 characters"),
        ("a\nb", "cannot be drawn"),
    ):
        with pytest.raises(UserError, match=rf"render\.label.*{said}"):
            load_settings(None, {"render.label": text})
    assert load_settings(None, {"render.label": "KI"}).render.label == "KI" and not Config().render.label


def test_label_takes_a_text_or_the_usual_one(monkeypatch):
    from speech2lip.cli.commands import COMMANDS, parser_of
    from speech2lip.cli.common import label_of

    for words, label, settings in (
        (["--label"], "AI-generated", []), (["--label", "made up"], "made up", []), ([], None, []),
        (["--label", "render.crf=3"], "AI-generated", ["render.crf=3"]), (["--label", "--device", "cpu"], "AI-generated", []),
    ):  # fmt: skip
        parser = parser_of("render", COMMANDS["render"])
        options = parser.parse_intermixed_args(["--audio", "a.wav", "--out", "b.mp4", *words])
        assert label_of(options) == label and options.settings == settings
