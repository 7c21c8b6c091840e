"""Frames of a subject with their heads in the poses that `render.pose` asks for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..canonical.skull import Skull, head_maps
from ..config import RenderConfig
from ..errors import UserError
from ..geometry.turning import angle_between
from ..media.images import read_sized
from ..media.planes import Picture
from ..subject.index import CanonicalImages
from ..subject.layout import SubjectLayout
from ..subject.motion import HeadMotion, Stance, read_motion
from ..subject.records import Subject, Track
from ..subject.schema import AGAIN
from .backdrop import backdrop
from .paste import Rendered
from .pose import Plan, Wish, fitting
from .reposing import Reposed, Reposer
from .walk import Footage, Walked, forth_and_back, pictures_in_order, runs_of

_MOST = 10_000  # frames of the clip among which is chosen


def is_posed(render: RenderConfig) -> bool:
    """Whether heads are moved at all."""
    return render.pose != "source" or render.pose_scale != 1


def pose_settings(pose: str) -> dict[str, str | float]:
    """Settings for what `--pose` says: a number is a factor on the clip's own motion, all else a value of `render.pose`."""
    try:
        return {"render.pose_scale": float(pose)}
    except ValueError:
        return {"render.pose": pose}


def check_pose(pose: str) -> None:
    """Refuse, before anything slow, a value of `render.pose` that is neither a word that is known nor a file that can be read."""
    path = Path(pose)
    if pose in ("source", "hold"):
        return
    if not path.exists():
        raise UserError(
            f"--pose {pose}: there is no such file: give hold, source, a number, a JSON file, a subject's folder or a video"
        )
    if path.is_dir() or path.suffix.lower() == ".json":
        motion_of(path)


@dataclass(frozen=True)
class Learned:
    """What is known of a person; depth: [S, S] mm, canonical, as it was learned."""

    layout: SubjectLayout
    subject: Subject
    track: Track
    canonical: CanonicalImages
    depth: np.ndarray


class Posing:
    """The plan for one rendering, and what carries it out.

    first: source frame to begin on (0: for `hold` and files, wherever the head stands best); loop: source frames [start, end) that may
    be walked. note: a sentence about what was made of a file, or "".
    """

    def __init__(self, render: RenderConfig, person: Learned, first: int, loop: tuple[int, int]):
        subject, track, canonical = person.subject, person.track, person.canonical
        skull = Skull.of(track.mesh)
        frames = _walkable(subject, track, first, loop)
        self.note, wish = _wish(render, subject, track, skull, frames, first)
        begin = first if first or wish.loop is not None else None
        self.plan = Plan(wish, track.poses, frames, subject.fps, render.pose_limit, begin)
        self._layout, self._subject, self._turns = person.layout, subject, track.poses.matrices()
        self._landmarks, self._moved, self._at_limit = track.landmarks, 0, 0
        pose = self._turns[subject.canonical_frame]
        maps = head_maps(skull, person.depth, canonical.face, canonical.head, pose, subject.camera)
        self._reposer = Reposer(maps, subject.camera, subject.crop, subject.size, pose, skull)
        self._reposer.set_backdrop(backdrop(frames, self._crop, lambda f: self._reposer.hidden(self._turns[f])))

    def _crop(self, frame: int) -> np.ndarray:
        side = self._subject.crop.size
        return read_sized(self._layout.face_image(frame), (side, side), AGAIN)

    def frames(self, footage: Footage) -> Generator[Walked, None, None]:
        """Decoded frames in the plan's order, without end."""
        for steps in self.plan:
            with closing(pictures_in_order(footage, runs_of(steps.sources))) as pictures:
                for picture, source, pose in zip(pictures, steps.sources, steps.poses, strict=True):
                    yield Walked(picture, int(source), pose)

    def repose(self, posed: Walked) -> tuple[Picture, Reposed]:
        """The frame with its head moved, and the part of it that may have changed."""
        assert posed.pose is not None
        seen = self._reposer.seen
        done = self._reposer(
            posed.picture.part(*seen), self._turns[posed.source], posed.pose, self._landmarks[posed.source]
        )
        whole = posed.picture.rgb.copy()
        whole[seen] = done.image
        return Picture(whole), done

    def rendered(self, posed: Walked, painted: Rendered) -> Rendered:
        """A frame whose mouth was painted after its head was moved, as one that was painted on the source."""
        assert posed.pose is not None
        away = angle_between(self._turns[posed.source, :3, :3], posed.pose[:3, :3])
        self._moved += 1
        self._at_limit += bool(away > self.plan.limit - 1e-6)
        rows, columns = self._reposer.seen
        (x, y), (height, width) = painted.corner, painted.mask.shape
        whole = painted.original
        if painted.mask.size:
            whole = whole.copy()
            whole[y : y + height, x : x + width] = painted.painted
        mask = np.ones((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        return Rendered(
            posed.picture, posed.source, np.ascontiguousarray(whole[rows, columns]), mask, (columns.start, rows.start)
        )

    def remark(self) -> str:
        """A sentence about poses that were not reached; "" where all were."""
        if not self._at_limit:
            return ""
        return (
            f"{self._at_limit} of {self._moved} poses lie {self.plan.limit:g} degrees or more from the frames that are walked: the head "
            "is held back there; render.pose_limit allows more, at the price of visible warping"
        )


def _walkable(subject: Subject, track: Track, first: int, loop: tuple[int, int]) -> np.ndarray:
    """The longest run of frames with a face that is seen, without a cut, inside `loop`; that of `first`, if it lasts a second."""
    runs = []
    for start, end in subject.shots:
        inside = np.arange(max(start, loop[0]), min(end, loop[1]))
        inside = inside[track.clear[inside]]
        runs += [run for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(run)]
    if not runs:
        raise UserError(f"subject {subject.name} has no frame whose face is seen: render with render.pose=source")
    own = [run for run in runs if first and run[0] <= first <= run[-1] and len(run) >= subject.fps]
    run = own[0] if own else max(runs, key=len)
    start = int(np.clip(first - run[0] - _MOST // 2, 0, max(len(run) - _MOST, 0)))
    return np.asarray(run[start : start + _MOST])


def _wish(
    render: RenderConfig, subject: Subject, track: Track, skull: Skull, frames: np.ndarray, first: int
) -> tuple[str, Wish]:
    """What is wanted, and a sentence about what was made of a file."""
    stance = Stance.of(track.poses, track.clear, skull.joint)
    if render.pose == "source":
        own = stance.motion(track.poses, track.clear, subject.fps).scaled(render.pose_scale)
        count = max(2 * (len(frames) - 1), 1)
        begin = int(np.abs(frames - first).argmin())
        return "", Wish(own, stance, frames[forth_and_back(count, begin, len(frames))])
    if render.pose == "hold":
        return "", Wish(HeadMotion(subject.fps, np.zeros((1, 3)), np.zeros((1, 3))), stance)
    motion = motion_of(Path(render.pose)).scaled(render.pose_scale)
    turns = track.poses.matrices()[frames, :3, :3]
    factor = fitting(motion, stance, turns, render.pose_limit)
    note = "" if factor == 1 else (
        f"{render.pose} turns the head further than {render.pose_limit:g} degrees from every frame of the clip: its motion is "
        f"scaled to {100 * factor:.0f} %"
    )  # fmt: skip
    return note, Wish(motion.scaled(factor), stance)


def motion_of(path: Path) -> HeadMotion:
    """The head's motion in a JSON file, or that of another subject, by the folder."""
    if path.is_dir():
        layout = SubjectLayout(path)
        subject = layout.load_subject()
        track = layout.load_track(subject)
        return Stance.of(track.poses, track.clear, Skull.of(track.mesh).joint).motion(
            track.poses, track.clear, subject.fps
        )
    if path.suffix.lower() != ".json":
        raise UserError(f"{path} is no JSON file: make one of it with `speech2lip pose --video {path} --out head.json`")
    return read_motion(path)
