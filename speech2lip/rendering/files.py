"""Whole renders into files: a video, or a folder of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from ..media.sound_writer import EncodedSound
from ..media.soundtrack import Soundtrack
from ..media.tags import tags_of
from ..media.yuv import laid_over
from ..progress import bar
from ..provenance.signing import Signing, check_signing, signed_output
from ..provenance.statement import statement_of
from ..provenance.verify import verify
from ..subject.index import parse_subject
from .label import label_overlay, labelled
from .output import check_lossless, check_output, unwritten
from .predictor import Predictor
from .silence import HeardSpeech, Windows


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
        signing = signing_of(predictor, model, [audio], first)
        render = predictor.config.render
        check_lossless(out, render.lossless_sound)
        windows = predictor.features(audio)
        if (near := predictor.familiarity(windows)) and near.warning:
            print(near.warning)
        if render.keep_length:
            windows = _as_long(windows, predictor, audio)
        source = tags_of(predictor.source, predictor.select)
        tags = replace(source, audio=tags_of(audio).audio)
        quality: dict[str, Any] = {"crf": render.crf, "preset": render.preset, "colour": predictor.colour, "tags": tags}
        loop, begin = predictor.walk(first, len(windows))
        posing = predictor.posing(first, loop)
        if said := predictor.unpainted(begin, len(windows), loop) if posing is None else posing.note:
            print(said)
        frames = predictor.render(windows, begin, loop, posing=posing)
        overlay = label_overlay(render.label, predictor.subject.size)
        with (
            unwritten(out),
            signed_output(out, signing) as path,
            VideoWriter(path, predictor.subject.fps, _track(audio, render.lossless_sound), **quality) as video,
        ):
            for frame in bar(f"rendering {out.name}", len(windows), "frame", frames):
                video.write(labelled(frame.written, overlay))
        if posing is not None and (said := posing.remark()):
            print(said)
        return len(windows)


def signing_of(predictor: Predictor, model: Path, spoken: Sequence[Path], first: int) -> Signing | None:
    """What signs the files of a render; None where its settings say that nothing shall. spoken: the files that say what is said."""
    render = predictor.config.render
    identity = check_signing(render)
    if identity is None:
        return None
    return Signing(identity, statement_of(model, predictor.layout, predictor.subject, spoken, render, first))


def _as_long(windows: HeardSpeech, predictor: Predictor, audio: Path) -> HeardSpeech:
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
    model: Path, root: Path | None, folder: Path, new_audio: Path | None = None, device: str = "auto",
    settings: Settings | None = None,
) -> int:  # fmt: skip
    """Render frames as `folder/%05d.jpg`, as the published inference does; returns their number.

    Without `new_audio` (an `audio.npy` of features) the test split is rendered onto itself,
    and `audio_test.wav`, its sound, is written beside `folder`. settings: keys of section `render` to change.
    """
    with Predictor.reading(model, root, device, settings) as predictor:
        audio = predictor.layout.audio if new_audio is None else new_audio
        return _render_images(predictor, folder, new_audio, signing_of(predictor, model, [audio], 0))


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
