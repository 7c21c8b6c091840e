"""The footage: how long, cut how often, of whom, at which rate, and whether it moves."""

from __future__ import annotations

import numpy as np

from ..config import LearnableConfig
from ..media.facts import VideoFacts
from ..preparation.learnable import movement
from ..subject.records import ClipLandmarks
from .finding import FATAL, NOTE, OK, WARNING, Finding, graded, spans_of
from .material import Pixels

# Seconds of a clear mouth: a minute is advised; with 12 to 19 s the opening follows speech with r of 0.5 to 0.8.
ENOUGH, LITTLE = 60.0, 20.0
_CUTS_NOTE, _CUTS_WARNING = (
    2.0,
    1.0,
)  # seconds of the usual shot; GRID's of 3 s are learned, pose and light settle anew in each
_UNSEEN_NOTE, _UNSEEN_WARNING = 0.02, 0.25  # share of frames without a face
_HIDDEN_NOTE, _HIDDEN_WARNING = 0.02, 0.25  # share of frames with something in front of the mouth
_OTHERS_WARNING = 0.5  # share of frames that show other people
_CROWD = 0.1  # share of sampled frames with several faces, from which on it is no mistake of the detector
_SAME = 0.02  # levels by which a repeated frame differs from the one before, after compression
_AGAINST = 0.15  # of the usual change, below which a frame counts as repeated
_REPEATED_NOTE, _REPEATED_WARNING = 0.02, 0.10  # share of frames; every second one repeated is half the rate
_FROZEN = 0.5  # seconds without change that are a freeze and no pulldown
_FADED = 0.6  # of the usual brightness of its shot's clip, below which a frame is faded
_FADED_NOTE, _FADED_WARNING = 0.002, 0.10  # share of frames
_SLOW, _FAST = 20.0, 31.0  # frames per second: speech is faster than the first, the second is halved
_OTHER = "For another one give --face NUMBER, as on people.jpg, or --face PICTURE."
_UNEVEN = 0.02  # share by which the average rate may differ from that of evenly spaced frames


def length(clear: np.ndarray, fps: float, need: LearnableConfig) -> Finding:
    """Whether there is enough; clear: [T] bool, frames whose mouth is seen."""
    seconds = float(clear.sum()) / fps
    severity = FATAL if seconds < need.seconds else graded(seconds, ENOUGH, LITTLE)
    missing = f", {ENOUGH - seconds:.0f} s more are advised" if seconds < ENOUGH else ""
    remedy = "" if severity == OK else f"Record {ENOUGH - seconds:.0f} s more; three minutes are better."
    return Finding("length", severity, f"the mouth is seen for {seconds:.1f} s{missing}", remedy)


def face_seen(clip: ClipLandmarks) -> Finding:
    """Frames of the person's own shots in which no face was found."""
    own = (clip.person <= 0) if (clip.person == 0).any() else np.ones(len(clip.seen), bool)
    lost = own & ~clip.seen
    share = float(lost.sum() / max(own.sum(), 1))
    severity = graded(share, _UNSEEN_NOTE, _UNSEEN_WARNING)
    remedy = "" if severity == OK else "Leave out the parts in which the face is away, turned or covered."
    return Finding("face_seen", severity, f"no face is found in {share:.0%} of the frames", remedy, spans_of(lost))


def hidden_mouth(hidden: np.ndarray | None) -> Finding | None:
    """Something in front of the mouth; hidden: [T] bool, None where that is not known yet."""
    if hidden is None:
        return None
    share = float(hidden.mean())
    severity = graded(share, _HIDDEN_NOTE, _HIDDEN_WARNING)
    remedy = "" if severity == OK else "Keep hands, cups and microphones away from the mouth."
    text = f"something is in front of the mouth in {share:.0%} of the frames"
    return Finding("hidden_mouth", severity, text, remedy, spans_of(hidden))


def cuts(shots: tuple[tuple[int, int], ...], fps: float) -> Finding:
    """How often the picture jumps."""
    usual = float(np.median([end - start for start, end in shots])) / fps
    severity = graded(usual, _CUTS_NOTE, _CUTS_WARNING) if len(shots) > 1 else OK
    if severity == OK and len(shots) > 1:
        severity = NOTE
    number = "1 cut" if len(shots) == 2 else f"{len(shots) - 1} cuts"
    text = "no cut" if len(shots) == 1 else f"{number}; the usual shot lasts {usual:.1f} s"
    remedy = "" if severity != WARNING else "Use a recording with fewer cuts."
    return Finding("cuts", severity, text, remedy, tuple((start, start + 1) for start, _ in shots[1:]))


def people_in_turn(clip: ClipLandmarks) -> Finding:
    """Whether shots show different people."""
    others = clip.person > 0
    count = int(clip.person.max(initial=0)) + 1
    if count == 1:
        return Finding("people_in_turn", OK, "all shots show one person")
    share = float(others.mean())
    text = f"{count} people are seen; {share:.0%} of the frames show others than number {clip.face}, who is learned"
    severity = WARNING if share > _OTHERS_WARNING else NOTE
    return Finding(
        "people_in_turn",
        severity,
        text,
        f"{_OTHER} Best of all, cut the clip so that only that person is in it.",
        spans_of(others),
    )


def people_at_once(crowd: np.ndarray, number: int = 1) -> Finding:
    """Whether a picture shows several faces; crowd: [K, 2] of sampled frames their number and their faces; number: of the
    person who is learned."""
    several = crowd[crowd[:, 1] > 1, 0] if len(crowd) else np.zeros(0, int)
    share = len(several) / max(len(crowd), 1)
    if share <= _CROWD:
        return Finding("people_at_once", OK, "one face is in the picture")
    text = f"{share:.0%} of the frames show several faces; that of number {number} is learned"
    spans = tuple((int(k), int(k) + 1) for k in several)
    return Finding("people_at_once", NOTE, text, f"Make sure that the voice is that person's. {_OTHER}", spans)


def still(opening: np.ndarray, eyes: float, need: LearnableConfig) -> Finding:
    """Whether the lips move; opening: [T] over the distance between the eyes (NaN: no face); eyes: that distance in
    source pixels."""
    moved = movement(opening)
    text = f"the lips move by {moved * eyes:.1f} pixels ({moved:.1%} of the distance between the eyes)"
    if 100 * moved < need.lips:
        return Finding("still", FATAL, text, "Give a video of a person talking, not a photograph.")
    return Finding("still", OK, text)


def repeated_frames(pixels: Pixels) -> np.ndarray:
    """Frames [T] bool that show what the frame before them showed."""
    change = pixels.change[1:]
    usual = float(np.median(change[change > _SAME])) if (change > _SAME).any() else 0.0
    return np.concatenate([[False], change < max(_SAME, _AGAINST * usual)])


def repeats(pixels: Pixels, fps: float) -> Finding:
    """Frames that come twice, as of a converted rate, a slow screen recording or a stuck connection."""
    same = repeated_frames(pixels)
    share = float(same[1:].mean())
    severity = graded(share, _REPEATED_NOTE, _REPEATED_WARNING)
    frozen = max((end - start for start, end in spans_of(same)), default=0) / fps
    stuck = f", the longest freeze lasts {frozen:.1f} s" if frozen >= _FROZEN else ""
    remedy = "" if severity == OK else "Use the original recording at its own frame rate, and leave freezes out."
    return Finding(
        "repeats", severity, f"{share:.0%} of the frames repeat the one before{stuck}", remedy, spans_of(same)
    )


def faded(pixels: Pixels) -> Finding:
    """Frames that are much darker than the clip: fades, black frames, covered lenses."""
    dark = pixels.luma < _FADED * float(np.median(pixels.luma))
    share = float(dark.mean())
    severity = graded(share, _FADED_NOTE, _FADED_WARNING)
    remedy = "" if severity == OK else "Leave out the faded parts."
    return Finding("faded", severity, f"{share:.1%} of the frames are dark or faded", remedy, spans_of(dark))


def rate(video: VideoFacts, fps: float) -> Finding:
    """Whether the frame rate suits speech; fps: at which the clip is read."""
    source = video.fps
    if not source:
        return Finding("frame_rate", OK, f"{fps:g} frames per second, as set")
    text = f"{source:.5g} frames per second"
    uneven = video.nominal and abs(video.nominal - source) > _UNEVEN * source
    if source < _SLOW:
        return Finding(
            "frame_rate",
            WARNING,
            text,
            f"Record at 25 frames per second or more: mouths close between frames of {source:.3g}.",
        )
    if uneven:
        return Finding(
            "frame_rate",
            NOTE,
            f"{text} on average, {video.nominal:.5g} in between: frames are missing",
            "Record at a constant rate.",
        )
    if source > _FAST:
        return Finding("frame_rate", OK, f"{text}, of which {fps:.5g} are used")
    return Finding("frame_rate", OK, text)
