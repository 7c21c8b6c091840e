"""Whole renders into files: a video, or a folder of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..audio.features import load_features
from ..config import Settings
from ..errors import UserError
from ..files import atomic_path, writing
from ..media.decode import read_frames
from ..media.encode import VideoWriter
from ..media.images import write_image
from ..media.sound import SAMPLE_RATE, load_audio, save_wav
from ..progress import bar
from ..subject.index import parse_subject
from .output import check_output, unwritten
from .predictor import Predictor


def render_video(
    model: Path, audio: Path, out: Path, root: Path | None = None, device: str = "auto", first: int = 0,
    settings: Settings | None = None,
) -> int:  # fmt: skip
    """Render `audio` on the subject's frames into the video `out`; returns its number of frames.

    root: the subject's folder (default: the one that the model was trained on); first: source frame to
    begin on; frames are walked forth and back; settings: keys of section `render` to change.
    """
    with Predictor.reading(model, root, device, settings) as predictor:
        check_output(out, audio, *predictor.read)
        predictor.check_start(first)
        windows = predictor.features(audio)
        render = predictor.config.render
        quality: dict[str, Any] = {"crf": render.crf, "preset": render.preset, "colour": predictor.colour}
        loop, begin = predictor.walk(first, len(windows))
        posing = predictor.posing(first, loop)
        if said := predictor.unpainted(begin, len(windows), loop) if posing is None else posing.note:
            print(said)
        frames = predictor.render(windows, begin, loop, posing=posing)
        with (
            unwritten(out),
            atomic_path(out, follow=True) as path,
            VideoWriter(path, predictor.subject.fps, audio, **quality) as video,
        ):
            for frame in bar(f"rendering {out.name}", len(windows), "frame", frames):
                video.write(frame.written)
        if posing is not None and (said := posing.remark()):
            print(said)
        return len(windows)


def render_images(
    model: Path, root: Path | None, folder: Path, new_audio: Path | None = None, device: str = "auto"
) -> int:
    """Render frames as `folder/%05d.jpg`, as the published inference does; returns their number.

    Without `new_audio` (an `audio.npy` of features) the test split is rendered onto itself,
    and `audio_test.wav`, its sound, is written beside `folder`.
    """
    with Predictor.reading(model, root, device) as predictor:
        return _render_images(predictor, folder, new_audio)


def _render_images(predictor: Predictor, folder: Path, new_audio: Path | None) -> int:
    layout, first = predictor.layout, 0
    if new_audio is not None:
        windows = load_features(new_audio, dict(predictor.metadata.audio))
    else:
        index = parse_subject(layout, predictor.config.data.test_fraction)
        if not len(index.test):
            raise UserError(f"{layout.root} has no test frames (data.test_fraction is 0): render new audio instead")
        first = int(index.test[0])
        windows = index.windows[first : int(index.test[-1]) + 1]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[0-9]*.jpg"):
            old.unlink()
    frames = predictor.render(windows, first)
    for number, frame in enumerate(bar(f"rendering {folder}", len(windows), "frame", frames)):
        write_image(folder / f"{number:05d}.jpg", frame.image, 97)
    if new_audio is None:
        _cut_audio(
            layout.audio,
            folder.parent / "audio_test.wav",
            first / predictor.subject.fps,
            len(windows) / predictor.subject.fps,
        )
    return len(windows)


def _cut_audio(source: Path, target: Path, start: float, length: float) -> None:
    wav = load_audio(source)
    begin = round(start * SAMPLE_RATE)
    with atomic_path(target) as path:
        save_wav(path, wav[begin : begin + round(length * SAMPLE_RATE)])


def join_side_by_side(left: Path, right: Path, out: Path, fps: float, sound: Path) -> None:
    """Put two videos of one height beside each other, for as long as both last, with the sound of a file."""
    pairs = zip(read_frames(left, fps), read_frames(right, fps), strict=False)
    with atomic_path(out, follow=True) as path, VideoWriter(path, fps, sound) as video:
        for pair in pairs:
            video.write(np.hstack(pair))
