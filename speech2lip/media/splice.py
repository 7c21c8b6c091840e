"""Which packets of a video can be kept where only some spans of it change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .container import open_media, origin, start_of, video_stream
from .facts import Selection, VideoFacts
from .h264 import Configuration, free_id, look_at, read_configuration
from .planes import AS_STORED

PROFILES = {66: "baseline", 77: "main", 100: "high"}  # which x264 can write, too
_TOLERATED = Fraction(1, 4)  # of a frame, that time stamps may be off their place


@dataclass(frozen=True)
class Packets:
    """The packets of a picture in the order of decoding, in units of `base` seconds.

    times: when frames are shown, rising; decoded: [T] time stamps of decoding; rank: [T] which frame a packet is, by when it
    is shown; clean: [T] bool, a frame from which decoding can begin; zero: seconds of the moment that is 0 s everywhere;
    parameter: a free number for parameter sets.
    """

    base: Fraction
    times: tuple[int, ...]
    decoded: tuple[int, ...]
    rank: np.ndarray
    clean: np.ndarray
    zero: Fraction
    configuration: Configuration
    parameter: int

    def __len__(self) -> int:
        return len(self.times)


def packets_of(path: Path, fps: float, select: Selection) -> Packets | str:
    """Every packet of an H.264 video whose frames come evenly at `fps`; else why its packets cannot be kept."""
    with open_media(path) as container:
        stream = video_stream(container, path, select.video)
        assert stream is not None and stream.time_base is not None
        configuration = read_configuration(stream.codec_context.extradata)
        if stream.codec_context.name != "h264" or configuration is None or configuration.profile not in PROFILES:
            kind = f"{stream.codec_context.name} {stream.codec_context.profile or ''}".strip()
            return (
                f"the picture is {kind}, and no H.264 of the profiles Baseline, Main and High in MP4, MOV or Matroska"
            )
        zero, begin = origin(container, path, select), start_of(stream)
        shown, clean, ids = [], [], set(configuration.ids)
        decoded: list[int | None] = []
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or (packet.dts is None and any(time is not None for time in decoded)):
                return "the packets lack time stamps"
            facts = look_at(memoryview(packet))
            ids |= facts.ids
            shown.append(packet.pts)
            decoded.append(packet.dts)
            clean.append(facts.clean)
        base = stream.time_base
    number, order = free_id(ids), _filled(decoded, shown)
    place = (np.array(sorted(shown)) - float(begin / base)) * float(base) * fps
    even = len(place) > 0 and np.abs(place - np.arange(len(place))).max() < float(_TOLERATED)
    if not even or abs((begin - zero) * Fraction(fps).limit_denominator(100_000)) > Fraction(1, 2):
        return f"the frames do not come evenly at {fps:.5g} per second"
    if number is None or (np.diff(order) <= 0).any():
        return "the packets are in disorder"
    rank = np.argsort(np.argsort(shown, kind="stable"), kind="stable")
    marks = np.array(clean) & (rank == np.arange(len(rank)))  # nothing is shown before that is decoded after
    return Packets(base, tuple(sorted(shown)), tuple(order), rank, marks, zero, configuration, number)


def _filled(decoded: list[int | None], shown: list[int]) -> list[int]:
    """Times of decoding, with those that Matroska leaves out before the first: as far apart as frames are."""
    missing = next((k for k, time in enumerate(decoded) if time is not None), len(decoded))
    rising = sorted(shown)
    step = max(1, round((rising[-1] - rising[0]) / max(len(rising) - 1, 1))) if rising else 1
    first = decoded[missing] if missing < len(decoded) else rising[0] if rising else 0
    assert first is not None
    return [first - (missing - k) * step if time is None else time for k, time in enumerate(decoded)]


def unlike(facts: VideoFacts) -> str:
    """Why new frames could not stand beside the packets of a video; "" where they can."""
    if facts.orientation != AS_STORED or facts.aspect != 1:
        return "the pictures are turned, mirrored or stretched when they are shown"
    if facts.interlaced:
        return "the picture is interlaced"
    if (
        facts.bits != 8
        or facts.subsampling != "4:2:0"
        or facts.stored != facts.colour
        or facts.width % 2
        or facts.height % 2
    ):
        return "the pixels are not 8 bit 4:2:0 of an even size"
    return ""


def encoded_ranges(packets: Packets, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """[start, end) of the frames that must be encoded for `spans` to change; packets of all others stay.

    Before a span packets stay up to the last one from which on all that is decoded is shown later; behind it, frames up to
    the next from which decoding can begin lean on what has changed. The same numbers count packets, in their order.
    """
    ranges: list[tuple[int, int]] = []
    beginnings = np.flatnonzero(packets.clean)
    highest = np.maximum.accumulate(packets.rank)
    complete = highest == np.arange(len(packets))  # of packets up to here, all are shown before those that follow
    for start, end in spans:
        before = np.flatnonzero(complete[:start])
        first = int(before[-1]) + 1 if len(before) else 0
        after = beginnings[beginnings >= end]
        last = int(after[0]) if len(after) else len(packets)
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(last, ranges[-1][1])
        else:
            ranges.append((first, last))
    return ranges
