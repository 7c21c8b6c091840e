"""The head's motion in any video, by preprocessing's own tracker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..canonical.skull import Skull
from ..config import Config
from ..files import check_input, temporary_space
from ..media.probe import check_video
from ..subject.layout import SubjectLayout
from ..subject.motion import HeadMotion, Stance, write_motion
from .head import load_tracked, track_clip
from .landmarks import find_landmarks, find_people
from .source import frame_rate, selection


def motion_of_video(config: Config, video: Path) -> HeadMotion:
    """Of the face that is seen most. Nothing is kept of the pictures; UserError for a video that shows no face."""
    check_input(video, "a video of a head", folders=True)
    info = check_video(video, selection(config))
    fps = frame_rate(config.data.fps, info.fps, info.video.nominal if info.video else 0.0)
    with temporary_space(), TemporaryDirectory(prefix="speech2lip-") as folder:
        config = replace(config, data=replace(config.data, fps=fps, root=folder))
        layout = SubjectLayout(folder)
        find_people(config, video, layout)
        find_landmarks(config, video, layout, 1)
        track_clip(config, layout)
        tracked = load_tracked(layout)
    joint = Skull.of(tracked.head.mesh).joint
    return Stance.of(tracked.head.poses, tracked.valid, joint).motion(tracked.head.poses, tracked.valid, fps)


@contextmanager
def motion_file(pose: str) -> Iterator[str]:
    """What `render.pose` can be for what a user asked for: of a video, a JSON file of its motion, while the block runs."""
    path = Path(pose)
    if pose in ("source", "hold") or not path.is_file() or path.suffix.lower() == ".json":
        yield pose
        return
    with temporary_space(), TemporaryDirectory(prefix="speech2lip-") as folder:
        target = Path(folder) / "motion.json"
        write_motion(target, motion_of_video(Config(), path))
        yield str(target)
