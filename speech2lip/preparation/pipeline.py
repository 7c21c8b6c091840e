"""The preprocessing pipeline: a video becomes a subject folder, stage by stage.

Every stage names the facts it depends on; a stage whose facts are unchanged since it last
finished is skipped, so an interrupted or repeated run continues where it stopped.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ..config import Config
from ..errors import UserError
from ..media.ffmpeg import check_video
from ..subject.layout import SubjectLayout
from ..subject.records import Subject
from .head import track_clip
from .landmarks import find_landmarks
from .lips import make_canonical
from .sound import extract_audio, sound_source
from .source import fingerprint
from .stages import Stages


def preprocess(config: Config, video: Path, audio: Path | None = None) -> Subject:
    """Turn `video` (a file, or a folder of frames at `data.fps`) into the folder `data.root`.

    audio: sound to use instead of the video's own track (needed for a folder of frames
    unless `audio/audio.wav` already lies in the subject's folder).
    """
    layout = SubjectLayout(config.data.root)
    _make_folder(layout.root)
    info = check_video(video)
    sound = sound_source(video, audio, info.has_audio, layout)
    stages = Stages(layout.stages)
    source = fingerprint(video)
    face = {"fps": config.data.fps, **asdict(config.face)}
    for name in ("lip_margin", "lip_feather", "lip_max_width", "smooth", "align", "exposure", "tracker", "parsing"):
        face.pop(name)
    stages.run("frames", [source, face], lambda: find_landmarks(config, video, layout), [layout.landmarks])
    tracker = [config.face.smooth, config.face.tracker]
    tracker += [config.face.align] if config.face.tracker == "bundle" else [asdict(config.fit)]
    stages.run("track", tracker, lambda: track_clip(config, layout), [layout.root / "head.npz"])
    wave = [fingerprint(sound), config.data.fps, asdict(config.audio)]
    stages.run("audio", wave, lambda: extract_audio(config, sound, layout), [layout.features])
    lips = [
        config.face.lip_margin,
        config.face.lip_feather,
        config.face.lip_max_width,
        config.name,
        config.face.parsing,
        config.face.exposure,
    ]
    stages.run("canonical", lips, lambda: make_canonical(config, video, layout), [layout.subject, layout.track])
    return layout.load_subject()


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / ".write-test").touch()
        (root / ".write-test").unlink()
    except OSError as error:
        raise UserError(f"cannot write into {root} ({error.strerror}): choose another data.root") from error
