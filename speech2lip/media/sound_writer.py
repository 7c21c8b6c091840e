"""Sound on its way into a video: encoded, or packets of another file with new ones between them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .aac import AacPackets, Replaced, new_packets
from .container import audio_stream, open_media
from .facts import Selection
from .soundtrack import Sound

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_PIECE = 1024  # samples that AAC encodes at once


@dataclass(frozen=True)
class Place:
    """Where sound goes: codec: of the container; lossless: its codec for sound without loss; zero: seconds of the file at
    which picture and sound begin."""

    codec: str
    lossless: str
    zero: Fraction


class SoundWriter(Protocol):
    """Packets of one stream."""

    def open(self, file: OutputContainer, place: Place) -> AudioStream:
        """Add the stream to a file."""
        ...

    def until(self, seconds: Fraction) -> Iterable[Packet]:
        """Packets of the sound up to so many seconds, or a little less."""
        ...

    def end(self, seconds: Fraction) -> Iterable[Packet]:
        """All that is left of a video of so many seconds."""
        ...

    def close(self) -> None: ...


class EncodedSound:
    """AAC, or what the container has for sound without loss, of a sound, for as long as the picture lasts."""

    def __init__(self, sound: Sound):
        self._sound, self._taken = sound, 0

    def open(self, file: OutputContainer, place: Place) -> AudioStream:
        sound, self._zero = self._sound, round(place.zero * self._sound.rate)
        self._stream = add_sound(file, place.codec if sound.bits else place.lossless, sound.rate, sound.layout)
        if sound.bits:
            self._stream.bit_rate = sound.bits
        else:
            self._stream.format = "s32p" if place.lossless == "alac" else "s32"  # of which 24 bits are written
        return self._stream

    def until(self, seconds: Fraction, least: int = _PIECE) -> Iterator[Packet]:
        from av.audio.frame import AudioFrame

        sound, wanted = self._sound, round(seconds * self._sound.rate)
        while wanted - self._taken >= least:
            size = min(_PIECE, wanted - self._taken)
            frame = AudioFrame.from_ndarray(sound.take(size), "fltp", sound.layout)
            frame.sample_rate, frame.pts = sound.rate, self._taken + self._zero
            frame.time_base = Fraction(1, sound.rate)
            self._taken += size
            yield from self._stream.encode(frame)

    def end(self, seconds: Fraction) -> Iterator[Packet]:
        yield from self.until(seconds, 1)
        yield from self._stream.encode(None)

    def close(self) -> None:
        self._sound.close()


class SplicedSound:
    """The AAC packets of a file, but for `parts`, which are made of `sound`. They are all written, whatever the length of the
    picture: it is that of the same file."""

    def __init__(self, path: Path, select: Selection, packets: AacPackets, parts: tuple[Replaced, ...], sound: Sound):
        self._path, self._select, self._packets, self._parts, self._sound = path, select, packets, parts, sound
        self._container: InputContainer | None = None
        self._next: Packet | None = None

    def open(self, file: OutputContainer, place: Place) -> AudioStream:
        self._container = open_media(self._path)
        template = audio_stream(self._container, self._path, self._select.audio)
        assert template is not None and template.time_base is not None
        stream: Any = file.add_stream_from_template(template, opaque=True)
        self._zero = place.zero
        self._joined = self._join(self._container, template, stream, place.zero - self._packets.zero)
        self._next = next(self._joined, None)
        return stream  # type: ignore[no-any-return]

    def _join(
        self, container: InputContainer, template: AudioStream, stream: AudioStream, shift: Fraction
    ) -> Generator[Packet, None, None]:
        """Packets, old and new, in their order, `shift` seconds later."""
        base, made = template.time_base, new_packets(self._sound, self._packets, self._parts)
        replaced = {number for part in self._parts for number in range(part.first, part.last)}
        assert base is not None
        number = 0
        for old in container.demux(template):
            if not old.size:
                continue
            packet: Packet = old
            if number in replaced:
                _, packet = next(made)
                packet.duration = old.duration
            place = old.pts + round(shift / base)  # type: ignore[operator]
            packet.pts, packet.dts, packet.time_base, packet.stream = place, place, base, stream
            number += 1
            yield packet

    def until(self, seconds: Fraction) -> Iterator[Packet]:
        while (packet := self._next) is not None and packet.pts * packet.time_base <= seconds + self._zero:  # type: ignore[operator]
            yield packet
            self._next = next(self._joined, None)

    def end(self, seconds: Fraction) -> Iterator[Packet]:
        if self._next is not None:
            yield self._next
            yield from self._joined
            self._next = None

    def close(self) -> None:
        self._sound.close()
        if self._container is not None:
            self._joined.close()
            self._container.close()


def add_sound(file: OutputContainer, codec: str, rate: int, layout: str) -> Any:
    """A new stream of a video."""
    stream: Any = file.add_stream(codec, rate)
    stream.layout, stream.codec_context.time_base = layout, Fraction(1, rate)
    return stream
