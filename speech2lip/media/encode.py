"""Encoding and muxing: whole files, and live streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..background import Worker
from ..errors import UserError
from .facts import Colour
from .pipes import Pipe, pipe_to
from .sound_writer import EncodedSound, Place, SoundWriter, add_sound
from .soundtrack import Soundtrack
from .tags import Tags
from .yuv import Kept, Planes, lay_over, padded_to_even, places, repaint, to_yuv420, written_bits

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

E = TypeVar("E", bound="_Encoder")
_NTSC = tuple(Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120))
_SAME_RATE = 5e-6  # relative; an hour at a rate that is off by so much is off by less than a frame
_DEEP = "yuv420p10le"
_LIVE_RATE = 16_000  # of the sound that live rendering hears


@dataclass(frozen=True)
class Container:
    """A kind of file: ffmpeg's name of its format, the codec of its sound, and of sound without loss (""; none), options of
    the muxer."""

    format: str
    sound: str = "aac"
    options: dict[str, str] = field(default_factory=dict)
    lossless: str = ""


_FASTSTART = {"movflags": "+faststart"}
_FRAGMENTS = {"movflags": "frag_every_frame+empty_moov+default_base_moof+skip_trailer"}
_CLUSTERS = {"cluster_time_limit": "0"}  # else a second of frames waits for its end
CONTAINERS = {  # of whole videos
    ".mp4": Container("mp4", options=_FASTSTART, lossless="flac"), ".m4v": Container("mp4", options=_FASTSTART, lossless="flac"),
    ".mov": Container("mov", options=_FASTSTART, lossless="alac"), ".mkv": Container("matroska", lossless="flac"),
    ".ts": Container("mpegts"),
}  # fmt: skip
LIVE_CONTAINERS = {
    ".mkv": Container("matroska", "pcm_s16le", _CLUSTERS),  # sound as it is: an encoder would hold some back
    ".ts": Container("mpegts"),
    ".mp4": Container("mp4", options=_FRAGMENTS),
}


def exact_rate(fps: float | Fraction) -> Fraction:
    """29.97 and 29.97003 are 30000/1001; other rates are the simplest fraction that they can be."""
    for rate in _NTSC:
        if abs(float(fps) / float(rate) - 1) < _SAME_RATE:
            return rate
    return Fraction(fps).limit_denominator(1001)


class _Encoder:
    """H.264 in a container, made by a thread so that whoever draws the frames does not wait.

    Frames are RGB uint8 of one size, or what they keep of their source, and not changed after they were given; odd sizes are padded by
    repeating the last column or row. What a frame keeps of its source is written as it is there. HDR is written with 10 bits. OSError
    where the file cannot be written: at a later frame, or when it is closed.
    """

    _THREADS = "FRAME"  # several frames at once, which is faster than parts of one

    def __init__(self, out: Path | str, fps: float | Fraction, kind: Container, colour: Colour):
        self.out, self.rate, self.colour = out, exact_rate(fps), colour
        self.frames, self.tags = 0, Tags()
        self._kind, self._shown = kind, 0
        self._file: OutputContainer | None = None
        self._picture: VideoStream | None = None
        self._worker: Worker | None = None

    def write(self, frame: np.ndarray | Kept) -> None:
        with self._refused():
            self._do(self._encode, frame)
        self.frames += 1

    def close(self) -> None:
        if self._worker is None:
            raise UserError(f"no frame was rendered for {self.out}: give longer audio")
        with self._refused():
            self._do(self._end)
            self._worker.finish()

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """What the file system says, with the name of the file."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.out)) from error

    def _do(self, work: Callable[..., object], *arguments: object) -> None:
        self._worker = self._worker or Worker()
        self._worker.do(work, *arguments)

    # ---- in the thread

    def _target(self) -> str | Pipe:
        """Where it goes: a place in ffmpeg's words, or what takes bytes."""
        return f"file:{self.out}"

    def _options(self) -> dict[str, str]:
        """Of the H.264 encoder."""
        raise NotImplementedError

    def _sound_stream(self, file: OutputContainer) -> AudioStream | None:
        raise NotImplementedError

    def _end_sound(self) -> None:
        """All frames are encoded, and no more sound will come."""

    def _opened(self) -> OutputContainer:
        import av  # here, so that training starts where it is missing

        options = {**self._kind.options, "flush_packets": "1"}
        return av.open(self._target(), "w", format=self._kind.format, container_options=options)

    def _start(self, width: int, height: int) -> None:
        self._file = self._opened()
        colour = self.colour
        tags = {"colorspace": colour.matrix, "color_primaries": colour.primaries, "color_trc": colour.transfer}
        tags["color_range"] = "pc" if colour.full_range else "tv"
        deep = written_bits(colour) > 8
        quality = _without_loss(self._options()) if deep else self._options()
        if colour.light:
            quality["x264-params"] = colour.light
        self._picture = self._file.add_stream("libx264", self.rate, options={**quality, **tags})
        self._picture.width, self._picture.height = width, height
        self._picture.pix_fmt = _DEEP if deep else "yuv420p"
        self._picture.codec_context.time_base = 1 / self.rate
        self._picture.codec_context.thread_type = self._THREADS
        self._sound = self._sound_stream(self._file)
        set_tags(self.tags, self._file, self._picture, self._sound)

    def _encode(self, image: np.ndarray | Kept) -> None:
        kept = image if isinstance(image, Kept) else None
        planes = image.planes if isinstance(image, Kept) else to_yuv420(padded_to_even(image), self.colour)
        frame, pixels = _frame_of(planes)
        if kept is not None:
            repaint(pixels, kept, self.colour)
            if kept.overlay is not None:
                lay_over(pixels, kept.overlay, self.colour)
        if self._picture is None:
            self._start(frame.width, frame.height)
        self._put(frame)

    def _put(self, frame: VideoFrame) -> None:
        """Encode the next frame."""
        assert self._picture is not None
        frame.pts, frame.time_base = self._shown, 1 / self.rate
        self._shown += 1
        self._mux(self._picture.encode(frame))

    def _mux(self, packets: Iterable[Packet]) -> None:
        assert self._file is not None
        for packet in packets:
            self._file.mux(packet)

    def _end(self) -> None:
        assert self._file is not None and self._picture is not None
        self._end_sound()
        self._mux(self._picture.encode(None))
        self._file.close()

    def __enter__(self: E) -> E:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._release()

    def _release(self) -> None:
        """End the thread and close the file, whatever has happened."""
        if self._worker is not None:
            self._worker.abandon()
        if self._file is not None:
            from av.error import FFmpegError

            with suppress(OSError, ValueError, FFmpegError):  # of a file that has failed already, or is not wanted
                self._file.close()


class VideoWriter(_Encoder):
    """H.264 (yuv420p, even size), the index in front, with optional sound; written atomically by the caller.

    `audio` is any file with sound, which is cut, or followed by silence, to the length of the picture; or what writes sound.
    colour: what the RGB values of the frames mean; the file is tagged with it. tags: what else it says about itself.
    """

    def __init__(
        self, path: Path, fps: float | Fraction, audio: Path | SoundWriter | None = None, *, crf: int = 15,
        preset: str = "veryfast", colour: Colour = Colour(), tags: Tags = Tags(),
    ):  # fmt: skip
        super().__init__(path, fps, container_of(path), colour)
        self.crf, self.preset, self.tags = crf, preset, tags
        self._track: SoundWriter | None = EncodedSound(Soundtrack(audio)) if isinstance(audio, Path) else audio
        self._zero = Fraction(0)  # seconds of the file at which picture and sound begin

    def _options(self) -> dict[str, str]:
        return {"preset": self.preset, "crf": str(self.crf)}

    def _sound_stream(self, file: OutputContainer) -> AudioStream | None:
        if self._track is None:
            return None
        return self._track.open(file, Place(self._kind.sound, self._kind.lossless, self._zero))

    def _encode(self, image: np.ndarray | Kept) -> None:
        super()._encode(image)
        self._hear()

    def _hear(self) -> None:
        """Write the sound of the frames so far."""
        if self._track is not None:
            self._mux(self._track.until(self._shown / self.rate))

    def _end_sound(self) -> None:
        if self._track is not None:
            self._mux(self._track.end(self._shown / self.rate))

    def _release(self) -> None:
        super()._release()
        if self._track is not None:
            self._track.close()


class LiveWriter(_Encoder):
    """H.264 and sound that players can read while it is written: frames and sound go in as they come, and
    every frame goes out at once.

    out: file or named pipe (.mkv, .ts, or .mp4 in fragments), or "-" for Matroska on standard output. The reader of a
    named pipe is waited for here.
    """

    _THREADS = "SLICE"  # of one frame, so that none waits for the next

    def __init__(self, out: str, fps: float | Fraction, crf: int = 20, colour: Colour = Colour()):
        super().__init__(out, fps, live_container_of(out), colour)
        self.crf = crf
        self._before: list[np.ndarray] = []  # sound that came before the first frame
        self._heard = 0  # samples
        self._pipe = pipe_to(out)

    def hurry(self) -> None:
        """From now on, a reader that takes nothing is not waited for; files are finished, however long it takes."""
        if self._pipe is not None:
            self._pipe.hurry()

    def hear(self, samples: np.ndarray) -> None:
        """Sound float [N] in [-1, 1], 16 kHz, that goes with the frames; may run ahead of them."""
        with self._refused():
            self._do(self._hear, samples)

    def close(self) -> None:
        if not self.frames:
            raise UserError(f"no frame was rendered for {self.out}: give longer audio")
        super().close()

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """A place that takes nothing is a UserError; a reader of standard output that has left stays what it is."""
        try:
            yield
        except BrokenPipeError:
            raise
        except TimeoutError as error:
            raise UserError(f"the reader of {self.out} has not taken the end of the video: start it again") from error
        except OSError as error:
            raise UserError(
                f"cannot write {self.out} ({error.strerror}): make room, or choose another place"
            ) from error

    def _release(self) -> None:
        self.hurry()
        super()._release()
        if self._pipe is not None:
            self._pipe.close()

    def _target(self) -> str | Pipe:
        return self._pipe or super()._target()

    def _options(self) -> dict[str, str]:
        speed = {"preset": "veryfast", "tune": "zerolatency", "g": str(round(2 * self.rate))}
        return {**speed, "crf": str(self.crf)}

    def _sound_stream(self, file: OutputContainer) -> AudioStream | None:
        return add_sound(file, self._kind.sound, _LIVE_RATE, "mono")  # type: ignore[no-any-return]

    def _encode(self, image: np.ndarray | Kept) -> None:
        super()._encode(image)
        waiting, self._before = self._before, []
        for samples in waiting:
            self._hear(samples)

    def _hear(self, samples: np.ndarray) -> None:
        from av.audio.frame import AudioFrame

        if self._picture is None:
            self._before.append(samples)
            return
        pcm = (np.clip(samples, -1, 1) * 32767).round().astype(np.int16)
        frame = AudioFrame.from_ndarray(pcm[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = _LIVE_RATE, self._heard, Fraction(1, _LIVE_RATE)
        self._heard += len(samples)
        assert self._sound is not None
        self._mux(self._sound.encode(frame))

    def _end_sound(self) -> None:
        assert self._sound is not None
        self._mux(self._sound.encode(None))


def _frame_of(planes: np.ndarray) -> tuple[VideoFrame, Planes]:
    """Y, Cb, Cr below each other, uint8 or uint16 with 10 bits -> a frame for the encoder, and its pixels to paint on."""
    from av.video.frame import VideoFrame

    frame = VideoFrame(planes.shape[1], planes.shape[0] * 2 // 3, "yuv420p" if planes.dtype == np.uint8 else _DEEP)
    pixels = []
    for plane, values in zip(frame.planes, places(planes), strict=True):
        rows = np.frombuffer(plane, planes.dtype).reshape(plane.height, -1)  # type: ignore[call-overload]
        pixels.append(rows[:, : plane.width])
        pixels[-1][:] = values
    return frame, (pixels[0], pixels[1], pixels[2])


def _without_loss(options: dict[str, str]) -> dict[str, str]:
    """crf 0 loses nothing with 8 bits alone; with 10 bits the quantiser must be 0."""
    return {"qp" if key == "crf" and value == "0" else key: value for key, value in options.items()}


def set_tags(tags: Tags, file: OutputContainer, picture: VideoStream, sound: AudioStream | None) -> None:
    """Before anything is written."""
    file.metadata.update(tags.file)
    picture.metadata.update(tags.video)
    if sound is not None:
        sound.metadata.update(tags.audio)


def live_container_of(out: str) -> Container:
    """As `container_of`, for what `LiveWriter` writes."""
    suffix = ".mkv" if out == "-" else Path(out).suffix.lower()
    if suffix not in LIVE_CONTAINERS:
        raise UserError(f"{out} cannot be written live: use .mkv, .ts, .mp4, or - for standard output")
    return LIVE_CONTAINERS[suffix]


def container_of(path: Path) -> Container:
    """The kind of video that a file's name asks for; UserError where it can be none."""
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        known = ", ".join(CONTAINERS)
        found = (
            f"videos are not written as {suffix}" if suffix else "its name does not say what kind of video it shall be"
        )
        raise UserError(f"{path} cannot be written ({found}): give a name that ends in one of {known}")
    return CONTAINERS[suffix]
