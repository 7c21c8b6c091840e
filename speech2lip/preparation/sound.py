"""Stage: the clip's sound and its feature windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..audio.features import extract_windows, make_backend, save_features
from ..config import Config
from ..errors import UserError
from ..files import atomic_path, check_input
from ..media.facts import Selection
from ..media.sound import SAMPLE_RATE, load_audio, save_wav
from ..subject.layout import SubjectLayout
from .learnable import lip_opening, rows_of
from .offset import NOTICEABLE, estimate_offset, lateness


def sound_source(video: Path, voice: Path | None, own: bool, layout: SubjectLayout) -> Path:
    """The file with the speech of the clip. voice: what the user gave instead of the clip's own; own: whether it
    has such."""
    if voice is not None:
        check_input(voice, "the clip's own speech")
        return voice
    if own and video.is_file():
        return video
    if layout.audio.is_file():
        return layout.audio
    raise UserError(
        f"{video} has no sound, but the mouth is learned from what is said in the clip: give the clip's own speech with "
        "--voice FILE"
    )


def moved(wav: np.ndarray, offset: float) -> np.ndarray:
    """A 16 kHz sound [N] that came `offset` seconds late (negative: early), where it belongs: what lay there before the
    picture begins is dropped, what is missing is silence."""
    count = round(offset * SAMPLE_RATE)
    return wav[count:] if count >= 0 else np.concatenate([np.zeros(-count, wav.dtype), wav])


def extract_audio(config: Config, sound: Path, layout: SubjectLayout, select: Selection = Selection()) -> None:
    """Write the clip's sound, moved to its lips (`data.offset`, `data.correct_offset`), and its feature windows."""
    if config.data.offset and sound.resolve() == layout.audio.resolve():
        raise UserError(
            f"{sound} is the subject's stored sound, which data.offset would move again every time: give the clip's "
            "own speech with --voice FILE, or leave data.offset out"
        )
    wav = load_audio(sound, select)
    wav = moved(wav, config.data.offset or _found_offset(config, sound, layout, wav))
    backend = make_backend(config.audio)
    windows = extract_windows([wav], config.data.fps, backend, sound)[:]
    if sound.resolve() != layout.audio.resolve():
        with atomic_path(layout.audio) as path:
            save_wav(path, wav)
    save_features(layout.features, windows, backend.params())


def _found_offset(config: Config, sound: Path, layout: SubjectLayout, wav: np.ndarray) -> float:
    """Seconds by which a clip's sound is clearly apart from its lips; 0 where it is not, or where that is not wanted."""
    if not config.data.correct_offset or sound.resolve() == layout.audio.resolve():  # what is stored was moved already
        return 0.0
    opening, _ = lip_opening(layout.load_landmarks())
    fps = config.data.fps
    found = estimate_offset(opening, rows_of([wav], fps, len(opening)), fps)
    seconds = found.frames / fps
    if not found.clear or abs(seconds) < NOTICEABLE:
        return 0.0
    print(f"{sound}: the sound is {lateness(seconds)}, and is moved to its lips (data.correct_offset=false leaves it)")
    return seconds
