"""The sound of a file as it is, for the video that is written with it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import UserError
from .container import audio_stream, open_media, origin, read_errors
from .facts import Selection

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_KEPT = (44100, 48000)  # rates; others become the last one. A piece of AAC, 1024 samples, is then shorter than a frame
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # that AAC has
_LAYOUTS = {  # channels as files have them, and as they are written; others become stereo
    **{name: name for name in ("mono", "stereo", "3.0", "4.0", "5.0", "5.1")}, "5.0(side)": "5.0", "5.1(side)": "5.1",
}  # fmt: skip


class Sound(Protocol):
    """What is written as the sound of a video. rate: samples per second; layout: FFmpeg's name of the channels; bits: per
    second of AAC, or 0, where it is written without loss."""

    rate: int
    layout: str
    bits: int

    def take(self, count: int) -> np.ndarray:
        """The next `count` samples, float32 [channels, count]."""
        ...

    def close(self) -> None: ...


class Soundtrack:
    """A file's main sound, or the selected one; sample 0 is the same moment as everywhere.

    rate, layout: how it is given; by default mono or stereo at 44.1 or 48 kHz, whichever is nearest to what it is. A stream that
    begins later, and gaps, are silence; so is everything after its end.
    """

    def __init__(
        self, path: Path, rate: int = 0, layout: str = "", select: Selection = Selection(), bits: int = 192_000
    ):
        usual_rate, usual_layout = (rate, layout) if rate and layout else _facts(path, select)
        self.rate, self.layout, self.bits = rate or usual_rate, layout or usual_layout, bits
        self.channels = channels_of(self.layout)
        self._pieces = _pieces(path, self.rate, self.layout, select)
        self._rest = np.zeros((self.channels, 0), np.float32)

    def take(self, count: int) -> np.ndarray:
        """The next `count` samples, float32 [channels, count]."""
        parts, missing = [self._rest[:, :count]], count - self._rest.shape[1]
        self._rest = self._rest[:, count:]
        while missing > 0:
            piece = next(self._pieces, None)
            if piece is None:
                piece = np.zeros((self.channels, missing), np.float32)
            parts.append(piece[:, :missing])
            self._rest = piece[:, missing:]
            missing -= parts[-1].shape[1]
        return np.concatenate(parts, 1)

    def close(self) -> None:
        self._pieces.close()


def channels_of(layout: str) -> int:
    """How many channels a layout has."""
    from av.audio.layout import AudioLayout

    return int(AudioLayout(layout).nb_channels)


def own_form(path: Path, select: Selection = Selection()) -> tuple[int, str]:
    """Rate and layout in which a file's sound is written without being converted, where that is possible."""
    with _opened(path, select) as (_, stream):
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in _RATES else _KEPT[-1]
        layout = _LAYOUTS.get(context.layout.name) or ("mono" if context.channels == 1 else "stereo")
        return rate, layout


@contextmanager
def _opened(path: Path, select: Selection) -> Iterator[tuple[InputContainer, AudioStream]]:
    with open_media(path) as container:
        stream = audio_stream(container, path, select.audio)
        if stream is None:
            raise UserError(f"{path} has no audio track: give a file with speech")
        yield container, stream


def _facts(path: Path, select: Selection) -> tuple[int, str]:
    with _opened(path, select) as (_, stream):
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in _KEPT else _KEPT[-1]
        return rate, "mono" if context.channels == 1 else "stereo"


def _pieces(path: Path, rate: int, layout: str, select: Selection) -> Generator[np.ndarray, None, None]:
    """Decoded sound, float32 [channels, n]; `aresample` puts it where its time stamps say."""
    from av.error import BlockingIOError, EOFError
    from av.filter import Graph

    with (
        _opened(path, select) as (container, stream),
        closing(_decoded(container, stream, origin(container, path, select))) as frames,
    ):
        graph: Graph | None = None
        for frame in frames:
            graph = graph or _graph(frame, rate, layout)
            graph.push(frame)
            yield from _pulled(graph, BlockingIOError)
        if graph is not None:
            graph.push(None)
            yield from _pulled(graph, EOFError, BlockingIOError)


def _decoded(container: InputContainer, stream: AudioStream, zero: Fraction) -> Generator[AudioFrame, None, None]:
    """Frames with time stamps that count from `zero` seconds; what is damaged is left out."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except read_errors():
            continue
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(zero / frame.time_base)
            yield frame  # type: ignore[misc]


def _graph(frame: AudioFrame, rate: int, layout: str):  # type: ignore[no-untyped-def]
    from av.filter import Graph

    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=frame.time_base
    )
    nodes = [
        source,
        graph.add("aresample", f"{rate}:async=1:first_pts=0"),
        graph.add("aformat", f"sample_fmts=fltp:sample_rates={rate}:channel_layouts={layout}"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _pulled(graph, *ends: type[Exception]) -> Iterator[np.ndarray]:  # type: ignore[no-untyped-def]
    while True:
        try:
            frame = graph.pull()
        except ends:
            return
        yield np.asarray(frame.to_ndarray(), np.float32)
