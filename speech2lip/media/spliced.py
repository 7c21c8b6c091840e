"""A video whose packets are the source's, but in some spans."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .container import open_media, video_stream
from .encode import VideoWriter, set_tags
from .facts import Colour, Selection
from .h264 import read_configuration
from .sound_writer import SoundWriter
from .splice import PROFILES, Packets
from .tags import Tags

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame


@dataclass(frozen=True)
class KeptPicture:
    """A source whose packets are kept but for frames in `ranges` [start, end)."""

    path: Path
    select: Selection
    fps: float
    packets: Packets
    ranges: tuple[tuple[int, int], ...]


class SplicedWriter(VideoWriter):
    """Writes frames of `ranges` alone, in their order; all others are the source's packets.

    What is new has parameter sets of its own, with other numbers, beside the source's: any decoder of the source's kind shows
    both. It has no frames that are decoded before they are shown, and begins with one from which decoding can begin.
    Time stamps are the source's.
    """

    def __init__(
        self, path: Path, source: KeptPicture, audio: Path | SoundWriter | None = None, *, crf: int = 15,
        preset: str = "veryfast", colour: Colour = Colour(), tags: Tags = Tags(),
    ):  # fmt: skip
        super().__init__(path, source.fps, audio, crf=crf, preset=preset, colour=colour, tags=tags)
        self._source, self._ranges = source, deque(source.ranges)
        self._zero = source.packets.zero
        self._input: InputContainer | None = None
        self._coder: Any = None
        self._placed = 0  # packets of the picture

    # ---- in the thread

    def _start(self, width: int, height: int) -> None:
        container = self._input = open_media(self._source.path)
        stream = video_stream(container, self._source.path, self._source.select.video)
        assert stream is not None
        self._template = stream
        self._old = (packet for packet in container.demux(stream) if packet.size)
        self._file = self._opened()
        self._picture = self._file.add_stream_from_template(stream, opaque=True)
        new = read_configuration(self._make_coder().extradata)
        assert new is not None
        context: Any = self._picture.codec_context
        context.extradata = bytes(self._source.packets.configuration.joined(new))
        self._sound = self._sound_stream(self._file)
        set_tags(self.tags, self._file, self._picture, self._sound)

    def _make_coder(self) -> Any:
        """An encoder whose packets can stand among the source's: its size, profile and colours, and lengths before units."""
        from av.codec.context import CodecContext, Flags

        like: Any = self._template.codec_context
        coder: Any = CodecContext.create("libx264", "w")
        coder.width, coder.height, coder.pix_fmt = like.width, like.height, "yuv420p"
        coder.time_base, coder.framerate = 1 / self.rate, self.rate
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            setattr(coder, name, getattr(like, name))
        if like.sample_aspect_ratio:
            coder.sample_aspect_ratio = like.sample_aspect_ratio
        packets = self._source.packets
        profile, own = PROFILES[packets.configuration.profile], f"sps-id={packets.parameter}:annexb=0"
        coder.options = {**self._options(), "bf": "0", "profile": profile, "x264-params": own}
        coder.flags |= Flags.global_header
        coder.thread_type = self._THREADS
        coder.open()
        return coder

    def _put(self, frame: VideoFrame) -> None:
        self._copy(self._ranges[0][0])
        self._coder = self._coder or self._make_coder()
        frame.pts, frame.time_base = self._shown, 1 / self.rate
        self._shown += 1
        self._place(self._coder.encode(frame))
        if self._shown == self._ranges[0][1]:
            self._place(self._coder.encode(None))
            self._coder = None
            self._ranges.popleft()

    def _copy(self, until: int) -> None:
        """The source's packets up to number `until`."""
        assert self._picture is not None
        while self._placed < until:
            packet = next(self._old)
            packet.dts, packet.stream = self._source.packets.decoded[self._placed], self._picture
            self._mux([packet])
            self._placed += 1
            self._shown = self._placed
            self._hear()

    def _place(self, made: Iterable[Packet]) -> None:
        """New packets where old ones were: shown in the order in which they are decoded, which is not sooner."""
        times = self._source.packets.times
        for packet in made:
            old = next(self._old)
            packet.dts, packet.pts = self._source.packets.decoded[self._placed], times[self._placed]
            packet.duration = times[self._placed + 1] - packet.pts if self._placed + 1 < len(times) else old.duration
            packet.time_base, packet.stream = self._source.packets.base, self._picture
            self._mux([packet])
            self._placed += 1

    def _end(self) -> None:
        self._copy(len(self._source.packets))
        self._end_sound()
        assert self._file is not None
        self._file.close()

    def _release(self) -> None:
        super()._release()
        if self._input is not None:
            self._input.close()
