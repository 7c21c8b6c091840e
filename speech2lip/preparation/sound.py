"""Stage: the clip's sound and its feature windows."""

from __future__ import annotations

from pathlib import Path

from ..audio.features import extract_windows, make_backend, save_features
from ..config import Config
from ..errors import UserError
from ..files import atomic_path
from ..media.facts import Selection
from ..media.sound import load_audio, save_wav
from ..subject.layout import SubjectLayout


def sound_source(video: Path, audio: Path | None, own: bool, layout: SubjectLayout) -> Path:
    if audio is not None:
        if not audio.is_file():
            raise UserError(f"{audio} does not exist: give the path of an audio file")
        return audio
    if own and video.is_file():
        return video
    if layout.audio.is_file():
        return layout.audio
    raise UserError(f"{video} has no audio track: give the speech with --audio, or put it at {layout.audio}")


def extract_audio(config: Config, sound: Path, layout: SubjectLayout, select: Selection = Selection()) -> None:
    wav = load_audio(sound, select)
    backend = make_backend(config.audio)
    windows = extract_windows([wav], config.data.fps, backend, sound)[:]
    if sound.resolve() != layout.audio.resolve():
        with atomic_path(layout.audio) as path:
            save_wav(path, wav)
    save_features(layout.features, windows, backend.params())
