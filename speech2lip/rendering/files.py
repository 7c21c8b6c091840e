"""Whole renders into files: a video, or a folder of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..audio.features import load_features
from ..config import RenderConfig, Settings
from ..errors import UserError
from ..files import atomic_path, write_bytes, writing
from ..media.decode import read_frames
from ..media.encode import VideoWriter
from ..media.images import encoded_image, frame_files
from ..media.sound import SAMPLE_RATE, load_audio, save_wav
from ..media.yuv import laid_over
from ..progress import bar
from ..provenance.signing import Signing, check_signing, signed_output
from ..provenance.statement import statement_of
from ..provenance.verify import verify
from ..subject.index import parse_subject
from .label import label_overlay, labelled
from .output import check_output, unwritten
from .predictor import Predictor
from .silence import Windows


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
        signing = _signing(predictor, model, audio, first)
        windows = predictor.features(audio)
        render = predictor.config.render
        quality: dict[str, Any] = {"crf": render.crf, "preset": render.preset, "colour": predictor.colour}
        if (near := predictor.familiarity(windows)) and near.warning:
            print(near.warning)
        loop, begin = predictor.walk(first, len(windows))
        if said := predictor.unpainted(begin, len(windows), loop):
            print(said)
        frames, overlay = predictor.render(windows, begin, loop), label_overlay(render.label, predictor.subject.size)
        with (
            unwritten(out),
            signed_output(out, signing) as path,
            VideoWriter(path, predictor.subject.fps, audio, **quality) as video,
        ):
            for frame in bar(f"rendering {out.name}", len(windows), "frame", frames):
                video.write(labelled(frame.written, overlay))
        return len(windows)


def _signing(predictor: Predictor, model: Path, audio: Path, first: int) -> Signing | None:
    """What signs the files of a render; None where its settings say that nothing shall."""
    render = predictor.config.render
    identity = check_signing(render)
    if identity is None:
        return None
    return Signing(identity, statement_of(model, predictor.layout, predictor.subject, audio, render, first))


def render_images(
    model: Path, root: Path | None, folder: Path, new_audio: Path | None = None, device: str = "auto",
    settings: Settings | None = None,
) -> int:  # fmt: skip
    """Render frames as `folder/%05d.jpg`, as the published inference does; returns their number.

    Without `new_audio` (an `audio.npy` of features) the test split is rendered onto itself,
    and `audio_test.wav`, its sound, is written beside `folder`. settings: keys of section `render` to change.
    """
    with Predictor.reading(model, root, device, settings) as predictor:
        audio = predictor.layout.audio if new_audio is None else new_audio
        return _render_images(predictor, folder, new_audio, _signing(predictor, model, audio, 0))


def _render_images(predictor: Predictor, folder: Path, new_audio: Path | None, signing: Signing | None) -> int:
    layout, first = predictor.layout, 0
    windows: Windows
    if new_audio is not None:
        windows = load_features(new_audio, dict(predictor.metadata.audio))
    else:
        index = parse_subject(layout, predictor.config.data.test_fraction)
        if not len(index.test):
            raise UserError(f"{layout.root} has no test frames (data.test_fraction is 0): render new audio instead")
        first = int(index.test[0])
        windows = predictor.own_speech(index.windows[first : int(index.test[-1]) + 1], first)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[0-9]*.jpg"):
            old.unlink()
    frames, overlay = (
        predictor.render(windows, first),
        label_overlay(predictor.config.render.label, predictor.subject.size),
    )
    for number, frame in enumerate(bar(f"rendering {folder}", len(windows), "frame", frames)):
        data = encoded_image(".jpg", frame.image if overlay is None else laid_over(frame.image, overlay), 97)
        write_bytes(folder / f"{number:05d}.jpg", data if signing is None else signing.image(data))
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


def join_side_by_side(
    left: Path, right: Path, out: Path, fps: float, sound: Path, render: RenderConfig = RenderConfig()
) -> None:
    """Put two videos of one height beside each other, for as long as both last, with the sound of a file.

    What the credentials of `right` say, which was rendered with the settings `render`, is said of the result.
    """
    pairs = zip(read_frames(left, fps), read_frames(right, fps), strict=False)
    with signed_output(out, _carried(right, render)) as path, VideoWriter(path, fps, sound) as video:
        for pair in pairs:
            video.write(np.hstack(pair))


def join_frames(folder: Path, sound: Path, out: Path, render: RenderConfig = RenderConfig(), fps: float = 25.0) -> None:
    """Make a video of the frames that `render_images` wrote, with their sound; what the credentials of the first say is said of it."""
    signing = _carried(frame_files(folder)[0], render)
    with signed_output(out, signing) as path, VideoWriter(path, fps, sound) as video:
        for frame in read_frames(folder, fps):
            video.write(frame)


def _carried(rendered: Path, render: RenderConfig) -> Signing | None:
    """Says of what is made of a rendered file what its credentials say; None where it has no sound ones of the same signer."""
    identity = check_signing(render)
    if identity is None:
        return None
    verdict = verify(rendered, Path(render.certificate) if render.certificate else None)
    return Signing(identity, verdict.statement) if verdict.good and verdict.statement is not None else None
