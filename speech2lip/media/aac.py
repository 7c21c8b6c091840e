"""AAC of which packets are kept, and new ones put between them.

A packet describes 2048 samples, and each 1024 that are heard are the sum of two packets that overlap. So all that is heard outside a
span stays what it was where the packets that reach into it stay. The first and the last 1024 samples inside a span are made of
an old and a new packet: the new one describes the old sound there, and what is new begins behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .container import audio_stream, open_media, origin
from .facts import Selection
from .inserts import Insert

if TYPE_CHECKING:
    from av.packet import Packet

    from .soundtrack import Sound

FRAME = 1024  # samples of a packet
_LEAST = 4  # packets that a span must have room for
_WARM = 4  # packets that an encoder makes before the first that is used
_RATES = (
    96000,
    88200,
    64000,
    48000,
    44100,
    32000,
    24000,
    22050,
    16000,
    12000,
    11025,
    8000,
)  # ISO/IEC 14496-3, table 1.18
_LOW_COMPLEXITY = 2  # object type
_LAYOUTS = {1: "mono", 2: "stereo"}  # by channel configuration


@dataclass(frozen=True)
class AacPackets:
    """places: [K] samples, counted from the moment that is 0 s everywhere, `zero` seconds of the file, at which what is first
    heard of a packet begins; each is 1024 after the one before; config: the first bytes of the stream's configuration; bits:
    per second, 0: unknown."""

    rate: int
    layout: str
    places: np.ndarray
    zero: Fraction
    config: bytes
    bits: int


def aac_packets(path: Path, select: Selection) -> AacPackets | None:
    """The packets of a file's sound where it is AAC of low complexity, mono or stereo, without gaps; else None."""
    with open_media(path) as container:
        stream = audio_stream(container, path, select.audio)
        if stream is None or stream.codec_context.name != "aac" or stream.time_base is None:
            return None
        config = bytes(stream.codec_context.extradata or b"")
        rate, layout = stream.codec_context.sample_rate, _layout_of(config, stream.codec_context.sample_rate)
        if layout is None:
            return None
        bits, zero = stream.bit_rate or 0, origin(container, path, select)
        times = [p.pts * stream.time_base for p in container.demux(stream) if p.size and p.pts is not None]
    if not times:
        return None
    places = np.array([float((time - zero) * rate) for time in times])
    even = places[0] + FRAME * np.arange(len(places))
    if np.abs(places - even).max() > FRAME / 8:
        return None
    return AacPackets(rate, layout, np.round(even).astype(np.int64), zero, config[:2], bits)


def _layout_of(config: bytes, rate: int) -> str | None:
    """Of an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); None where its packets are not of 1024 samples at `rate`."""
    if len(config) < 2:
        return None
    head = int.from_bytes(config[:2], "big")
    kind, number, channels, short = head >> 11, head >> 7 & 15, head >> 3 & 15, head >> 2 & 1
    if kind != _LOW_COMPLEXITY or number >= len(_RATES) or _RATES[number] != rate or short:
        return None
    return _LAYOUTS.get(channels)


@dataclass(frozen=True)
class Replaced:
    """Packets [first, last) are new; what is new is heard from sample `start` to `stop`."""

    first: int
    last: int
    start: int
    stop: int


def replaced(packets: AacPackets, runs: Sequence[tuple[int, int]], end: int) -> list[Replaced] | None:
    """What is replaced for spans [start, stop) of samples, in their order, of a clip of `end` samples; None where one is too
    short."""
    places, found = packets.places, []
    for start, stop in runs:
        inside = int(np.searchsorted(places, start))
        outside = int(np.searchsorted(places, stop - FRAME, "right"))
        first, begin = (0, start) if start <= 0 else (inside, int(places[0]) + FRAME * (inside + 1))
        last, finish = (len(places), stop) if stop >= end else (outside - 1, int(places[0]) + FRAME * (outside - 1))
        if last - first < _LEAST:
            return None
        found.append(Replaced(first, last, begin, finish))
    return found


def new_packets(sound: Sound, packets: AacPackets, parts: Sequence[Replaced]) -> Iterator[tuple[int, Packet]]:
    """Encoded packets of the parts, with their numbers; `sound` is taken from its beginning, in step with them."""
    at = 0
    for part in parts:
        begin = int(packets.places[0]) + FRAME * (part.first - _WARM)
        stop = int(packets.places[0]) + FRAME * (part.last + 2)
        while at < begin:
            at += sound.take(min(FRAME, begin - at)).shape[1]
        encoder = make_encoder(packets)
        for place in range(begin, stop, FRAME):
            silent = min(max(at - place, 0), FRAME)  # before the beginning of the clip
            samples = np.pad(sound.take(FRAME - silent), ((0, 0), (silent, 0)))
            at += FRAME - silent
            yield from _numbered(encoder.encode(_frame(samples, packets, place)), packets, part)
        yield from _numbered(encoder.encode(None), packets, part)


def make_encoder(packets: AacPackets) -> Any:
    """An encoder of the same kind of packets, opened."""
    from av.codec.context import CodecContext

    encoder: Any = CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = packets.rate, packets.layout, "fltp"
    encoder.time_base, encoder.bit_rate = Fraction(1, packets.rate), packets.bits
    encoder.open()
    return encoder


def fits(packets: AacPackets) -> bool:
    """Whether new packets are understood by who reads the configuration of the old ones."""
    return bytes(make_encoder(packets).extradata or b"")[:2] == packets.config


def _frame(samples: np.ndarray, packets: AacPackets, place: int) -> Any:
    from av.audio.frame import AudioFrame

    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), "fltp", packets.layout)
    frame.sample_rate, frame.pts, frame.time_base = packets.rate, place, Fraction(1, packets.rate)
    return frame


def _numbered(made: Iterable[Packet], packets: AacPackets, part: Replaced) -> Iterator[tuple[int, Packet]]:
    for packet in made:
        assert packet.pts is not None
        number = (packet.pts - int(packets.places[0])) // FRAME
        if part.first <= number < part.last:
            yield number, packet


def audible(inserts: Sequence[Insert], parts: Sequence[Replaced]) -> list[Insert]:
    """Inserts, cut to where what is new is heard."""
    out = []
    for insert in inserts:
        part = next(p for p in parts if p.start < insert.stop and p.stop > insert.start)
        out.append(Insert(max(insert.start, part.start), min(insert.stop, part.stop), insert.path, insert.begins))
    return out
