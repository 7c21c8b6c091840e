"""The sound of a file as it is, for the video that is written with it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .container import audio_stream, open_media, origin, read_errors

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_KEPT = (44100, 48000)  # rates; others become the last one. A piece of AAC, 1024 samples, is then shorter than a frame


class Soundtrack:
    """A file's main sound, mono or stereo, at 44.1 or 48 kHz; sample 0 is the same moment as everywhere.

    A stream that begins later, and gaps, are silence; so is everything after its end.
    """

    def __init__(self, path: Path):
        self.rate, self.layout = _facts(path)
        self._pieces = _pieces(path, self.rate, self.layout)
        self._rest = np.zeros((self.channels, 0), np.float32)

    @property
    def channels(self) -> int:
        return 1 if self.layout == "mono" else 2

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


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    with open_media(path) as container:
        stream = audio_stream(container, path)
        if stream is None:
            raise UserError(f"{path} has no audio track: give a file with speech")
        yield container, stream


def _facts(path: Path) -> tuple[int, str]:
    with _opened(path) as (_, stream):
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in _KEPT else _KEPT[-1]
        return rate, "mono" if context.channels == 1 else "stereo"


def _pieces(path: Path, rate: int, layout: str) -> Generator[np.ndarray, None, None]:
    """Decoded sound, float32 [channels, n]; `aresample` puts it where its time stamps say."""
    from av.error import BlockingIOError, EOFError
    from av.filter import Graph

    with _opened(path) as (container, stream), closing(_decoded(container, stream, origin(container, path))) as frames:
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
