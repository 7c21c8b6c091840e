"""The preprocessing pipeline: a video becomes a subject folder, stage by stage."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..audio.features import make_backend
from ..config import MORPHABLE, Config
from ..detection.choice import check_choice
from ..errors import UserError
from ..files import check_input, check_writable
from ..locks import writer_of
from ..media.images import frame_files
from ..media.probe import check_video, describe
from ..subject.claim import check_free
from ..subject.consent import Answer, note, recorded, unasked
from ..subject.layout import SubjectLayout
from ..subject.records import Consent, Subject
from ..subject.source import content_hash
from ..weights.wanted import PREPROCESS, check_weights
from .head import track_clip
from .landmarks import chosen_face, find_landmarks, find_people
from .learnable import check_learnable, check_sound_to_learn
from .lips import make_canonical
from .sound import extract_audio, sound_source
from .source import Clip, check_clip, frame_rate, kept_path, restore_source, selection, sound_selection
from .stages import Stage, run_stages, up_to_date

_LOOKING = 2  # stages that look at the picture


def preprocess(
    config: Config, video: Path, voice: Path | None = None, remedy: str = "choose another data.root for it",
    consent: Answer = unasked,
) -> Subject:  # fmt: skip
    """Turn `video` (a file, or a folder of frames at `data.fps`, else 25 per second) into the folder `data.root`.

    voice: the clip's own speech, instead of its sound (needed for a folder of frames unless
    `audio/audio.wav` already lies in the subject's folder); remedy: what the user can do where the folder was
    made from another clip, which is refused; consent: what to record of the person's consent, which is asked for
    before anything slow. An interrupted or repeated run continues where it stopped.
    """
    layout = SubjectLayout(config.data.root)
    check_weights(config, (PREPROCESS,))
    clip = open_clip(config, video, voice, remedy)
    config = replace(config, data=replace(config.data, fps=clip.fps))
    check_sound_to_learn(config.learnable, clip.sound, sound_selection(config, video, clip.sound))
    answer = consent(recorded(layout))
    make_backend(config.audio)  # here, so that a missing package or model is found before the slow stages
    check_writable(layout.subject)
    stages = stages_of(config, clip, layout)
    layout.root.mkdir(parents=True, exist_ok=True)
    with writer_of(layout.root, "speech2lip preprocess"):
        run_stages(stages, layout.stages, layout.subject)
        restore_source(clip, layout)
        if said := note(answer, video):
            print(said)
        return _labelled(layout, config.name, answer)


def _labelled(layout: SubjectLayout, name: str, consent: Consent) -> Subject:
    """The finished subject under its name, with the consent; no stage depends on either."""
    found = layout.load_subject()
    subject = replace(found, name=name, consent=consent)
    if subject != found:
        layout.save_subject(subject)
    return subject


def find_face(config: Config, video: Path, voice: Path | None, remedy: str) -> tuple[Clip, Config]:
    """Run the first stages alone, which the others find finished: people, landmarks and pictures of every frame in `data.root`.

    As `preprocess`, but for the refusal of clips from which nothing can be learned. Returns the clip, and the configuration with its rate.
    """
    layout = SubjectLayout(config.data.root)
    clip = open_clip(config, video, voice, remedy)
    config = replace(config, data=replace(config.data, fps=clip.fps))
    check_writable(layout.landmarks)
    stages = stages_of(config, clip, layout)[:_LOOKING]
    layout.root.mkdir(parents=True, exist_ok=True)
    with writer_of(layout.root, "speech2lip doctor"):
        run_stages(stages, layout.stages, layout.subject)
    return clip, config


def check_face(config: Config, clip: Clip, layout: SubjectLayout) -> None:
    """Refuse a choice of face (`data.face`) that a finished folder was not made with."""
    config = replace(config, data=replace(config.data, fps=clip.fps))
    if config.data.face and not up_to_date(stages_of(config, clip, layout)[:_LOOKING], layout.stages):
        raise UserError(
            f"{layout.root} is finished with another choice of face (number {layout.load_subject().face}): give this one another name "
            f"with --name, or make the folder anew with `speech2lip preprocess --face {shlex.quote(config.data.face)}`"
        )


def open_clip(config: Config, video: Path, voice: Path | None, remedy: str) -> Clip:
    """What preprocessing works on, checked to be a moving picture with sound that this folder may be made from."""
    check_input(video, "a video of a talking person", folders=True)
    layout, info = SubjectLayout(config.data.root), check_video(video, selection(config))
    if video.is_dir():
        frame_files(video)
    sound = sound_source(video, voice, info.has_audio, layout)
    print(f"{video}: {describe(info)}")
    fps = frame_rate(config.data.fps, info.fps, info.video.nominal if info.video else 0.0)
    if info.fps and round(fps, 2) != round(info.fps, 2):
        print(f"frame rate: {fps:.5g} frames per second are made of the clip's {info.fps:.5g} (data.fps)")
    _check_place(layout, video, sound, remedy)
    return Clip(video, *check_clip(video, layout, remedy), sound, fps)


def _check_place(layout: SubjectLayout, video: Path, sound: Path, remedy: str) -> None:
    """Refuse a folder of the user's own whose files would be replaced. Its `audio/audio.wav` may be the speech of the clip,
    with features that the published recipe made of it."""
    made = layout.features, layout.features.with_suffix(".json")
    again = made if layout.audio.is_file() and all(path.is_file() for path in made) else ()
    kept = (sound, *again) if sound.resolve() == layout.audio.resolve() else ()
    copy = kept_path(video, layout)
    check_free(layout, (*layout.written, *((copy,) if copy != video.resolve() else ())), kept, remedy)


def stages_of(config: Config, clip: Clip, layout: SubjectLayout) -> list[Stage]:
    """All stages; each names what enters it, so that nothing is redone or kept wrongly."""
    video, sound = clip.video, clip.sound
    picture = check_choice(config.data.face)
    heard = clip.sha256 if sound == video else content_hash(sound)

    @cache
    def choice() -> dict[str, int]:
        return chosen_face(config, layout, picture)

    @cache
    def check() -> None:  # at the beginning of whichever stage comes first after the frames
        check_learnable(config, video, sound, layout)

    def track() -> None:
        check()
        track_clip(config, layout)

    def listen() -> None:
        check()
        extract_audio(config, sound, layout, sound_selection(config, video, sound))

    return [
        Stage(
            "people", 1, {"video": clip.sha256, **_chosen(config, "data.fps", "data.video_stream", "data.allow_partial", "face.same_person")},
            (layout.people,), lambda: find_people(config, video, layout),
        ),
        Stage(
            "frames", 7, _chosen(config, "face.max_crop", "face.jpeg_quality"),
            (layout.landmarks, layout.face_images), lambda: find_landmarks(config, video, layout, choice()["face"]), chosen=choice,
        ),
        Stage(
            "track", 2, {**_chosen(config, "face.tracker", "face.smooth", "face.max_gap", "photometric"), **_tracker(config)},
            (layout.head,), track,
        ),
        Stage(
            "audio", 5, {"sound": heard, **_chosen(config, "audio", "data.audio_stream", "data.correct_offset", "data.offset")},
            (layout.audio, layout.features, layout.features.with_suffix(".json")), listen,
        ),
        Stage(
            "canonical", 7,
            {
                "rasterizer": config.rasterizer,
                **_chosen(config, "face.lip_margin", "face.lip_feather", "face.lip_max_width", "face.outline", "face.drawn_width", "face.parsing", "face.exposure", "face.hidden"),
            },
            (*layout.canonical_files, layout.lip_images, layout.mouth_images), lambda: make_canonical(config, clip, layout),
            labelled=layout.subject,
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
