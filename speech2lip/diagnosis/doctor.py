"""The doctor: looks at a video, or at a subject's folder, and says whether it will work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import Config
from ..errors import UserError
from ..media.probe import probe
from ..media.sound import load_audio
from ..preparation.pipeline import check_face, find_face, open_clip
from ..preparation.source import selection
from ..subject.layout import SubjectLayout, source_selection
from ..subject.records import Subject
from .examine import Diagnosis, examine
from .measure import measure

_ROUNDED = 2 / 32768  # by which a stored sound differs from the one that it was made of


@dataclass(frozen=True)
class Examined:
    """A diagnosis, and the folder whose pictures show it."""

    diagnosis: Diagnosis
    layout: SubjectLayout


def is_subject(path: Path) -> bool:
    """Whether a path is a subject's folder, and no folder of frames."""
    return SubjectLayout(path).subject.is_file()


def examine_video(config: Config, video: Path, voice: Path | None, remedy: str) -> Examined:
    """Examine a video; the first stage of preprocessing runs in `data.root`, where it is kept for the others. A folder
    that is finished is used as it is.

    voice, remedy: as of `pipeline.preprocess`. UserError for what cannot even be looked at: no picture, no face, no
    sound."""
    layout = SubjectLayout(config.data.root)
    if is_subject(layout.root):
        check_face(config, open_clip(config, video, voice, remedy), layout)  # refuses another clip, and another face
        return examine_subject(config, layout.root, voice)
    clip, config = find_face(config, video, voice, remedy)
    return Examined(examine(measure(config, video, clip.sound, layout, video.name, None), config.learnable), layout)


def examine_subject(config: Config, folder: Path, voice: Path | None = None) -> Examined:
    """Examine a finished subject by what its folder holds; only how the source is coded, and how many faces it shows,
    is looked at again. voice: the clip's own speech, where it is not what the folder stores."""
    layout = SubjectLayout(folder)
    subject = layout.load_subject()
    if not layout.landmarks.is_file():
        raise UserError(f"{folder} has no {layout.landmarks.name} (imported folders have none): give the video itself")
    source, select = layout.source_path(subject), source_selection(subject)
    offset = config.data.offset if voice else 0.0  # what is stored was moved already
    data = replace(
        config.data, fps=subject.fps, video_stream=select.video, allow_partial=True, root=str(folder), offset=offset
    )
    config = replace(config, data=data)
    sound = voice or _sound_of(config, source, layout)
    hidden = layout.load_track(subject).hidden
    return Examined(
        examine(measure(config, source, sound, layout, _name(subject, source), hidden), config.learnable), layout
    )


def _sound_of(config: Config, source: Path, layout: SubjectLayout) -> Path:
    """The source, where the stored sound was made of its own: it tells of channels and clipping. Else the stored
    sound."""
    if not source.is_file() or not probe(source).has_audio or not layout.audio.is_file():
        return layout.audio
    own, stored = load_audio(source, selection(config)), load_audio(layout.audio)
    same = len(own) == len(stored) and bool(np.abs(own.clip(-1, 1) - stored).max(initial=0) <= _ROUNDED)
    return source if same else layout.audio


def _name(subject: Subject, source: Path) -> str:
    return f"{subject.name} ({source.name})"
