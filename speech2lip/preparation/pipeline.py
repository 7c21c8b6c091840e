"""The preprocessing pipeline: a video becomes a subject folder, stage by stage."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..config import MORPHABLE, Config
from ..files import check_writable
from ..locks import writer_of
from ..media.ffmpeg import check_video
from ..subject.layout import SubjectLayout
from ..subject.records import Subject
from .head import track_clip
from .landmarks import find_landmarks
from .lips import make_canonical
from .sound import extract_audio, sound_source
from .source import fingerprint
from .stages import Stage, run_stages


def preprocess(config: Config, video: Path, audio: Path | None = None) -> Subject:
    """Turn `video` (a file, or a folder of frames at `data.fps`) into the folder `data.root`.

    audio: sound to use instead of the video's own track (needed for a folder of frames
    unless `audio/audio.wav` already lies in the subject's folder). An interrupted or repeated run
    continues where it stopped.
    """
    layout = SubjectLayout(config.data.root)
    check_writable(layout.subject)
    with writer_of(layout.root, "speech2lip preprocess"):
        info = check_video(video)
        sound = sound_source(video, audio, info.has_audio, layout)
        run_stages(stages_of(config, video, sound, layout), layout.stages, layout.subject)
        return layout.load_subject()


def stages_of(config: Config, video: Path, sound: Path, layout: SubjectLayout) -> list[Stage]:
    """All stages; each names what enters it, so that nothing is redone or kept wrongly."""
    return [
        Stage(
            "frames", 2, {"video": fingerprint(video), **_chosen(config, "data.fps", "face.max_crop", "face.jpeg_quality")},
            (layout.landmarks, layout.face_images), lambda: find_landmarks(config, video, layout),
        ),
        Stage(
            "track", 2, {**_chosen(config, "face.tracker", "face.smooth", "face.max_gap", "photometric"), **_tracker(config)},
            (layout.head,), lambda: track_clip(config, layout),
        ),
        Stage(
            "audio", 2, {"sound": fingerprint(sound), **_chosen(config, "audio")},
            (layout.audio, layout.features, layout.features.with_suffix(".json")), lambda: extract_audio(config, sound, layout),
        ),
        Stage(
            "canonical", 2,
            {
                "source": video.name, "rasterizer": config.rasterizer,
                **_chosen(config, "name", "face.lip_margin", "face.lip_feather", "face.lip_max_width", "face.parsing", "face.exposure"),
            },
            (*layout.canonical_files, layout.lip_images), lambda: make_canonical(config, video, layout),
        ),
    ]  # fmt: skip


def _chosen(config: Config, *names: str) -> dict[str, Any]:
    """Entries or sections of the configuration by their dotted keys."""
    everything = asdict(config)
    out = {}
    for name in names:
        value: Any = everything
        for part in name.split("."):
            value = value[part]
        out[name] = value
    return out


def _tracker(config: Config) -> dict[str, Any]:
    """What the chosen tracker alone reads."""
    return _chosen(config, "fit", "rasterizer") if config.face.tracker in MORPHABLE else _chosen(config, "bundle")
