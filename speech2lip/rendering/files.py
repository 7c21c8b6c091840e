"""Whole renders into files: a video, or a folder of frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.features import load_features
from ..audio.rows import FeatureWindows
from ..config import Settings
from ..errors import UserError
from ..files import atomic_path, writing
from ..media.decode import read_frames
from ..media.encode import VideoWriter
from ..media.images import write_image
from ..media.sound import SAMPLE_RATE, load_audio, save_wav
from ..media.sound_writer import EncodedSound
from ..media.soundtrack import Soundtrack
from ..media.tags import tags_of
from ..progress import bar
from ..subject.index import parse_subject
from .output import check_lossless, check_output, unwritten
from .predictor import Predictor


def render_video(
    model: Path, audio: Path, out: Path, root: Path | None = None, device: str = "auto", first: int = 0,
    settings: Settings | None = None,
) -> int:  # fmt: skip
    """Render `audio` on the subject's frames into the video `out`; returns its number of frames.

    root: the subject's folder (default: the one that the model was trained on); first: source frame to
    begin on; frames are walked forth and back; settings: keys of section `render` to change. The file has the source's title,
    time of recording and language of the picture, and the language of the sound.
    """
    with Predictor.reading(model, root, device, settings) as predictor:
        check_output(out, audio, *predictor.read)
        predictor.check_start(first)
        render = predictor.config.render
        check_lossless(out, render.lossless_sound)
        windows = predictor.features(audio)
        if render.keep_length:
            windows = _as_long(windows, predictor, audio)
        source = tags_of(predictor.source, predictor.select)
        tags = replace(source, audio=tags_of(audio).audio)
        quality: dict[str, Any] = {"crf": render.crf, "preset": render.preset, "colour": predictor.colour, "tags": tags}
        loop, begin = predictor.walk(first, len(windows))
        if said := predictor.unpainted(begin, len(windows), loop):
            print(said)
        frames = predictor.render(windows, begin, loop)
        with (
            unwritten(out),
            atomic_path(out, follow=True) as path,
            VideoWriter(path, predictor.subject.fps, _track(audio, render.lossless_sound), **quality) as video,
        ):
            for frame in bar(f"rendering {out.name}", len(windows), "frame", frames):
                video.write(frame.written)
        return len(windows)


def _as_long(windows: FeatureWindows, predictor: Predictor, audio: Path) -> FeatureWindows:
    """Windows for every frame of the source; UserError where the sound is longer by more than a frame."""
    frames, fps = predictor.subject.frames, predictor.subject.fps
    if len(windows) > frames + 1:
        raise UserError(
            f"{audio} lasts {len(windows) / fps:.2f} s and the source {frames / fps:.2f} s: shorten the sound, or leave out --keep-length"
        )
    return windows.part(0, frames)


def _track(audio: Path, lossless: bool) -> EncodedSound:
    return EncodedSound(Soundtrack(audio, bits=0) if lossless else Soundtrack(audio))


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
