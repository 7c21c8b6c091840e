"""What a decoded frame is, and how it becomes RGB: square pixels, upright, progressive, SDR."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .colour import cube_file, scale_matrix, stored_colour, written_colour
from .facts import HDR_TRANSFERS, VideoFacts
from .planes import AS_STORED, Picture, carried_bits, even_size, evened, is_carried, planes_of, upright

if TYPE_CHECKING:
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_FULL = 2  # AVCOL_RANGE_JPEG
_YUV_CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4")  # whose grey is 16..235 unless tagged
_DOLBY = ("dvh1", "dvhe", "dva1", "dvav", "dav1")  # codec tags of Dolby Vision
_WIDEST = 10  # aspect of a pixel beyond which it is a mistake
_SLOWEST, _FASTEST, _SAME = 5.0, 240.0, 0.01  # nominal frames per second, and relative distance of equal rates
_PAPER = 255  # what shows through transparent parts
# Repeated chroma is what writing takes the mean of: what is not painted comes back as it was.
_EXACT = "neighbor+accurate_rnd+full_chroma_int"
_SAME_PLANES = ("yuv420p", "yuvj420p")  # formats whose frames are their planes
_MOST_SIZES = 8  # of parts of pictures for which graphs are kept


def facts_of(stream: VideoStream, frames: list[VideoFrame], path: Path) -> VideoFacts:
    """Facts of a stream by its first decoded frames; UserError for pictures whose colours cannot be made."""
    frame = frames[0]
    rgb = bool(frame.format.is_rgb) or frame.format.name == "pal8"
    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj") or _is_full_grey(frame, stream)
    stored = stored_colour((frame.colorspace, frame.color_primaries, frame.color_trc), full, rgb, frame.height)
    if stored.transfer in HDR_TRANSFERS:
        stored = replace(stored, light=_light(frame))
    _check_colour(stream, frame, path)
    if scale_matrix(stored) is None:
        raise UserError(
            f"{path} stores colours in a way that is not read ({stored.matrix}): convert it to BT.709, 4:2:0 with a video editor"
        )
    aspect, orientation = _aspect(stream), _orientation(frame)
    width, height = _square(frame, aspect)
    facts = VideoFacts(
        index=stream.index, codec=stream.codec_context.name,
        width=height if orientation[0] == 0 else width, height=width if orientation[0] == 0 else height,
        fps=float(stream.average_rate or stream.guessed_rate or 0), colour=written_colour(stored), stored=stored,
        hdr=stored.transfer in HDR_TRANSFERS, interlaced=any(f.interlaced_frame for f in frames),
        bits=max((c.bits for c in frame.format.components), default=8), subsampling=_subsampling(frame.format),
        alpha=_has_alpha(stream, frame), aspect=aspect, orientation=orientation,
        nominal=_nominal_rate(stream),
    )  # fmt: skip
    return _with_notes(facts, (frame.colorspace, frame.color_primaries))


def _nominal_rate(stream: VideoStream) -> float:
    """The rate on whose grid the time stamps lie, where it is a usual one and not the average; else 0."""
    nominal, average = float(stream.base_rate or 0), float(stream.average_rate or 0)
    plausible = _SLOWEST <= nominal <= _FASTEST and abs(nominal - average) > _SAME * nominal
    return nominal if average and plausible else 0.0


def _check_colour(stream: VideoStream, frame: VideoFrame, path: Path) -> None:
    """Dolby Vision's profile 5 has no base layer that others could show; VP8 and VP9 hide their alpha."""
    tagged = str(stream.codec_context.codec_tag) in _DOLBY or any(kind.startswith("DOVI") for kind in _side_data(frame))
    if tagged and frame.color_trc in (0, 2):
        raise UserError(
            f"{path} is Dolby Vision without a base layer that other programs can show (profile 5): export it as HLG or SDR"
        )
    if frame.format.name.startswith("yuv420") and stream.metadata.get("alpha_mode") == "1":
        raise UserError(
            f"{path} has a transparent background ({stream.codec_context.name}): put it over a background first"
        )


def _is_full_grey(frame: VideoFrame, stream: VideoStream) -> bool:
    return _is_grey(frame.format) and frame.color_range == 0 and stream.codec_context.name not in _YUV_CODECS


def _is_grey(kind: VideoFormat) -> bool:
    return kind.name.startswith(("gray", "ya", "mono"))


def _has_alpha(stream: VideoStream, frame: VideoFrame) -> bool:
    """A palette has room for transparency; whether it is used shows in the frames."""
    return any(c.is_alpha for c in frame.format.components) or frame.format.name == "pal8"


def _subsampling(kind: VideoFormat) -> str:
    """Chroma's sampling as 4:2:2 and so on; RGB and grey are what they are."""
    if kind.is_rgb or kind.name == "pal8":
        return "RGB"
    if _is_grey(kind) or len(kind.components) < 3:
        return "grey"
    wide, high = kind.chroma_width(64), kind.chroma_height(64)
    return {(64, 64): "4:4:4", (64, 32): "4:4:0", (32, 64): "4:2:2", (32, 32): "4:2:0", (16, 64): "4:1:1"}.get(
        (wide, high), "4:1:0"
    )


def _aspect(stream: VideoStream) -> float:
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return float(ratio) if ratio and 1 / _WIDEST <= ratio <= _WIDEST else 1.0


def _square(frame: VideoFrame, aspect: float) -> tuple[int, int]:
    """Width and height in square pixels: all lines are kept, and the width becomes what it should be."""
    return (frame.width if aspect == 1 else max(2, 2 * round(frame.width * aspect / 2))), frame.height


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    """What the file says beside the picture, by ffmpeg's names."""
    entries = [frame.side_data[number] for number in range(len(frame.side_data))]  # type: ignore[literal-required]
    return {entry.type.name: bytes(entry) for entry in entries}


def _light(frame: VideoFrame) -> str:
    """HDR10's static metadata (SMPTE ST 2086 in steps of 0.00002 and 0.0001 cd/m2, CTA-861.3) as x264 takes it, or ""."""
    said, parts = _side_data(frame), []
    display = np.frombuffer(said.get("MASTERING_DISPLAY_METADATA", b""), np.int32)
    if len(display) == 22 and display[20:].all():  # ten fractions, and whether colours and light are known
        ratios = display[:20:2] / np.maximum(display[1:20:2], 1)
        red, green, blue, white = ("({:.0f},{:.0f})".format(*pair) for pair in ratios[:8].reshape(4, 2) * 50_000)
        least, most = ratios[8:] * 10_000
        parts.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L({most:.0f},{least:.0f})")
    if len(level := np.frombuffer(said.get("CONTENT_LIGHT_LEVEL", b""), np.uint32)) == 2:
        parts.append("cll={},{}".format(*level))
    return ":".join(parts)


def _orientation(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Signs of the display matrix (a, b, c, d), whose turns are multiples of 90 degrees; others are left out."""
    if (data := _side_data(frame).get("DISPLAYMATRIX")) is not None:
        matrix = np.frombuffer(data, np.int32)[[0, 1, 3, 4]].astype(np.float64)
        a, b, c, d = (int(v) for v in np.sign(np.where(abs(matrix) > abs(matrix).max() / 2, matrix, 0)))
        if abs(a * d - b * c) == 1:
            return a, b, c, d
    return 1, 0, 0, 1


def _with_notes(facts: VideoFacts, tags: tuple[int, int]) -> VideoFacts:
    """Add what the user shall know is done."""
    notes = []
    if facts.hdr:
        kind = "HLG" if facts.stored.transfer == "arib-std-b67" else "PQ"
        kept = " (render.hdr=keep: results stay HDR)" if carried_bits(facts, keep_hdr=True) else ""
        notes.append(f"HDR ({kind}) is tone-mapped to SDR BT.709{kept}")
    if tags[0] in (0, 2) and facts.subsampling.startswith("4") and not facts.hdr:
        notes.append(f"no colour tags: taken as {facts.stored.matrix}")
    if facts.interlaced:
        notes.append(f"interlaced: deinterlaced, one picture per frame (data.fps={2 * facts.fps:g}: one per field)")
    if facts.aspect != 1:
        notes.append(f"pixels {facts.aspect:.3f} times as wide as high: made square")
    if facts.rotation or facts.mirrored:
        notes.append(f"turned by {facts.rotation} degrees" + (" and mirrored" if facts.mirrored else ""))
    if facts.bits > 8 or facts.subsampling not in ("4:2:0", "RGB"):
        notes.append("read as 8 bit RGB")
    if facts.alpha and facts.codec != "gif":
        notes.append("transparent parts are shown on white")
    return replace(facts, notes=tuple(notes))


class Deinterlacer:
    """Frames in, frames out, some of them later (bwdif: motion adaptive). fields: one per field, else per frame.
    Frames that are not flagged as interlaced pass unchanged."""

    def __init__(self, stream: VideoStream, fields: bool):
        from av.filter import Graph

        self._graph = Graph()
        source = self._graph.add_buffer(template=stream)
        mode = "send_field" if fields else "send_frame"
        self._graph.link_nodes(
            source, self._graph.add("bwdif", f"mode={mode}:deint=interlaced"), self._graph.add("buffersink")
        )
        self._graph.configure()

    def __call__(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """frame: None at the end."""
        self._graph.vpush(frame)
        yield from pulled(self._graph)


def pulled(graph: Graph) -> Iterator[VideoFrame]:
    """The frames that a graph has ready."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class Converter:
    """Decoded frames of one stream -> pictures whose RGB has one size, read-only.

    max_side: frames are shrunk so that no side exceeds it; bits: of the planes that come along (`carried_bits`; 0: none).
    Frames whose size changes inside the stream are brought to that of the first. What is scaled and not shrunk is scaled
    as YUV, so that RGB and planes are one picture.
    """

    def __init__(self, facts: VideoFacts, max_side: int | None = None, bits: int = 0):
        self.facts, self._bits = facts, bits
        shrink = min(1.0, max_side / max(facts.width, facts.height)) if max_side else 1.0
        size = max(1, round(facts.width * shrink)), max(1, round(facts.height * shrink))
        self._size = size[::-1] if facts.orientation[0] == 0 else size
        self._shrinks = shrink < 1
        self._scaled, self._coloured = _ByKind(), _ByKind()
        self._colours = _Colours(facts)

    def __call__(self, frame: VideoFrame) -> Picture:
        if not self._has_size(frame) and is_carried(frame) and not self._shrinks:
            frame = self._scaled(frame, self._build_scaling)
        if self._has_size(frame) and is_carried(frame):
            frame = evened(frame)
        planes = planes_of(frame, self.facts, self._bits)
        if planes is not None and self._tells_all(frame):
            return Picture(planes=planes, size=self._size, colour=self._colours)
        return Picture(self._rgb(frame), planes)

    def _tells_all(self, frame: VideoFrame) -> bool:
        """Whether a frame's planes are all that its RGB is made of."""
        return self._bits == 8 and self.facts.orientation == AS_STORED and frame.format.name in _SAME_PLANES

    def _has_size(self, frame: VideoFrame) -> bool:
        return (frame.width, frame.height) in (self._size, even_size(*self._size))

    def _rgb(self, frame: VideoFrame) -> np.ndarray:
        width, height = self._size
        image = np.asarray(self._coloured(frame, self._build_colouring).to_ndarray(), np.uint8)[:height, :width]
        if self.facts.alpha:
            image = _on_paper(image)
        if _is_grey(frame.format) and not self.facts.stored.full_range:
            image = _stretched(image)
        image = np.ascontiguousarray(upright(image, self.facts.orientation))
        image.flags.writeable = False
        return image

    def _build_scaling(self, graph: Graph, frame: VideoFrame) -> list[FilterContext]:
        both = "pc" if self.facts.stored.full_range else "tv"
        sides = f"w={self._size[0]}:h={self._size[1]}"
        scale = graph.add("scale", f"{sides}:in_range={both}:out_range={both}:flags=bicubic+accurate_rnd")
        return [scale, graph.add("format", frame.format.name)]

    def _build_colouring(self, graph: Graph, frame: VideoFrame) -> list[FilterContext]:
        if self._has_size(frame):
            return _to_rgb(self.facts, graph, (frame.width, frame.height))
        # What is only looked at may be a level too dark: exact arithmetic takes three times as long.
        return _to_rgb(
            self.facts, graph, self._size, "area" if self._shrinks else "bicubic+accurate_rnd+full_chroma_int"
        )


def _to_rgb(facts: VideoFacts, graph: Graph, size: tuple[int, int], flags: str = _EXACT) -> list[FilterContext]:
    """Filters from a clip's YUV to RGB of so many pixels."""
    stored = facts.stored
    options = f"w={size[0]}:h={size[1]}:out_range=pc:flags={flags}"
    if stored.matrix != "gbr":
        options += f":in_color_matrix={scale_matrix(stored)}:in_range={'pc' if stored.full_range else 'tv'}"
    nodes = [graph.add("scale", options)]
    if facts.hdr:
        nodes += [
            graph.add("format", "gbrp16le"),
            _tone_mapping(graph, stored.transfer),
            graph.add("scale", "sws_dither=none"),
        ]
    return [*nodes, graph.add("format", "rgba" if facts.alpha else "rgb24")]


class _ByKind:
    """Frames through a graph of filters, which is made anew when they change their size or format."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()

    def __call__(self, frame: VideoFrame, build: Callable[[Graph, VideoFrame], list[FilterContext]]) -> VideoFrame:
        """build: (graph, frame) -> the filters between source and sink. It is not kept: memory that waits for the
        collector of cycles is many frames, which the collector does not see."""
        from av.filter import Graph

        kind = (frame.width, frame.height, frame.format.name)
        if self._graph is None or kind != self._kind:
            graph = Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            graph.link_nodes(source, *build(graph, frame), graph.add("buffersink"))
            graph.configure()
            self._graph, self._kind = graph, kind
        self._graph.vpush(frame)
        return self._graph.vpull()


class _Colours:
    """Planes Y, Cb, Cr [3 h / 2, w] uint8 of any even size -> RGB uint8 [h, w, 3]; threads may share it."""

    def __init__(self, facts: VideoFacts):
        self._facts, self._lock = facts, threading.Lock()
        self._graphs: dict[tuple[int, int], Graph] = {}

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        from av.video.frame import VideoFrame

        frame = VideoFrame.from_ndarray(planes, "yuv420p")
        with self._lock:
            graph = self._graph((frame.width, frame.height), frame.format)
            graph.vpush(frame)
            return np.asarray(graph.vpull().to_ndarray(), np.uint8)

    def _graph(self, size: tuple[int, int], kind: VideoFormat) -> Graph:
        from av.filter import Graph

        if size not in self._graphs:
            if len(self._graphs) >= _MOST_SIZES:
                self._graphs.clear()
            graph = self._graphs[size] = Graph()
            graph.threads = 1  # parts are small, and made where other threads are busy
            source = graph.add_buffer(width=size[0], height=size[1], format=kind, time_base=Fraction(1, 1000))
            graph.link_nodes(source, *_to_rgb(self._facts, graph, size), graph.add("buffersink"))
            graph.configure()
        return self._graphs[size]


def _tone_mapping(graph: Graph, transfer: str) -> FilterContext:
    """The filter lut3d, which reads its table from a file when it is made."""
    handle, name = tempfile.mkstemp(suffix=".cube", prefix="speech2lip-")
    try:
        with open(handle, "w", encoding="ascii") as stream:
            stream.write(cube_file(transfer))
        return graph.add("lut3d", file=name, interp="tetrahedral")
    finally:
        os.unlink(name)


def _on_paper(image: np.ndarray) -> np.ndarray:
    """RGBA [H, W, 4], colours not multiplied by alpha -> RGB on white."""
    alpha = image[..., 3:]
    if alpha.min() == 255:
        return image[..., :3]
    mixed = image[..., :3].astype(np.uint16) * alpha + _PAPER * (255 - alpha.astype(np.uint16))
    return ((mixed + 127) // 255).astype(np.uint8)


def _stretched(image: np.ndarray) -> np.ndarray:
    """Grey of 16..235 -> 0..255, which the scale filter leaves undone."""
    table = ((np.arange(256) - 16) * (255 / 219)).round().clip(0, 255).astype(np.uint8)
    return table[image]
