"""Reading any audio as 16 kHz mono, and writing 16-bit WAV files."""

from __future__ import annotations

import wave
from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .container import audio_stream, check_file, open_media, origin, read_errors
from .facts import Selection
from .mix import channel_names, mix_weights, planar, timeline

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

SAMPLE_RATE = 16_000
_Mixes = Mapping[tuple[str, ...], np.ndarray]  # weights by the channels' names, which may change inside a file


def load_audio(path: Path, select: Selection = Selection()) -> np.ndarray:
    """Decode a file's main audio stream, or the selected one, to float32 [samples] in [-1, 1], 16 kHz mono.

    Sample 0 is the container's start, as frame 0 is for video: a stream that starts later
    is preceded by silence, so sound and picture keep their offset.
    """
    return np.concatenate(list(stream_audio(path, select=select)))


def stream_audio(
    path: Path, seconds: float = 30.0, select: Selection = Selection()
) -> Generator[np.ndarray, None, None]:
    """`load_audio` in pieces of `seconds`, so that memory does not grow with the file."""
    size, parts, held = round(seconds * SAMPLE_RATE), list[np.ndarray](), 0
    for part in _mono(path, select):
        parts.append(part)
        held += len(part)
        if held >= size:
            whole = np.concatenate(parts)
            yield from np.split(whole[: held // size * size], held // size)
            parts, held = [whole[held // size * size :]], held % size
    if held:
        yield np.concatenate(parts)


def _mono(path: Path, select: Selection) -> Iterator[np.ndarray]:
    """Sound in pieces of any length: channels mixed, gaps filled, at 16 kHz."""
    mixes, heard = _mixes(path, select), False
    with open_media(path) as container:
        frames = _decoded(container, _stream(container, path, select))
        for piece in _resampled(timeline(frames, origin(container, path, select)), mixes):
            heard = heard or len(piece) > 0
            if not np.isfinite(piece).all():
                raise UserError(f"{path} holds samples that are no numbers: export the sound again")
            yield piece
    if not heard:
        raise UserError(f"{path} has an empty or undecodable audio track: give a file with speech")


def _stream(container: InputContainer, path: Path, select: Selection) -> AudioStream:
    stream = audio_stream(container, path, select.audio)
    if stream is None:
        raise UserError(f"{path} has no audio track: give a file with speech")
    return stream


def _decoded(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """All frames of a stream; what cannot be decoded leaves a gap in the time stamps."""
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except read_errors():
                continue
            yield from frames  # type: ignore[misc]
    except read_errors():
        return  # the rest of a damaged file


def stream_channels(path: Path, select: Selection = Selection()) -> Generator[tuple[np.ndarray, int], None, None]:
    """A file's main audio stream, or the selected one, as it is stored: (float32 [channels, N], samples per second), in pieces
    as they are decoded. Channels are not mixed, and gaps are not filled."""
    check_file(path)
    with open_media(path) as container:
        for frame in _decoded(container, _stream(container, path, select)):
            yield planar(frame), frame.sample_rate


def _mixes(path: Path, select: Selection) -> _Mixes:
    """How the channels of a file are mixed, from all of its sound; known until the file changes."""
    check_file(path)
    status = path.stat()
    return _listen(path, select, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(64)
def _listen(path: Path, select: Selection, version: tuple[int, ...]) -> _Mixes:
    energy: dict[tuple[str, ...], np.ndarray] = {}
    with open_media(path) as container:
        stream = _stream(container, path, select)
        if stream.channels == 1:
            return {}
        for frame in _decoded(container, stream):
            names, samples = channel_names(frame), np.nan_to_num(planar(frame).astype(np.float64))
            energy[names] = energy.get(names, 0.0) + samples @ samples.T
    return {names: mix_weights(names, total) for names, total in energy.items()}


def _resampled(pieces: Iterable[tuple[np.ndarray, tuple[str, ...], int]], mixes: _Mixes) -> Iterator[np.ndarray]:
    """(samples [channels, N], channels' names, rate) -> mono samples at 16 kHz."""
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

    resampler, before = AudioResampler("flt", "mono", SAMPLE_RATE), 0
    for samples, names, rate in pieces:
        if before not in (0, rate):  # some transmissions change their rate
            yield from _taken(resampler.resample(None))
            resampler = AudioResampler("flt", "mono", SAMPLE_RATE)
        mono = mixes[names] @ samples if names in mixes else samples.mean(0)
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(mono[None], np.float32), "flt", "mono")
        frame.sample_rate, before = rate, rate
        yield from _taken(resampler.resample(frame))
    if before:
        yield from _taken(resampler.resample(None))


def _taken(frames: Iterable[AudioFrame]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield np.asarray(frame.to_ndarray()[0], np.float32)


def check_sound(path: Path) -> None:
    """Refuse audio that cannot be decoded or is too short to hold speech: before hours of training, not after."""
    pieces = stream_audio(path, 1.0)
    samples = len(next(pieces))
    pieces.close()
    if samples < SAMPLE_RATE // 20:
        raise UserError(f"{path} is shorter than 0.05 s: give audio with speech")


def save_wav(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write float samples [N] in [-1, 1] as 16-bit PCM."""
    pcm = (np.clip(samples, -1, 1) * 32767).round().astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes(pcm.tobytes())


def stream_saved(path: Path, seconds: float = 30.0) -> Generator[np.ndarray, None, None]:
    """As `stream_audio`, of a file that `save_wav` wrote: it needs no decoder, which a machine that only trains may lack."""
    try:
        with wave.open(str(path), "rb") as stream:
            if (stream.getnchannels(), stream.getsampwidth(), stream.getframerate()) == (1, 2, SAMPLE_RATE):
                while data := stream.readframes(round(seconds * SAMPLE_RATE)):
                    yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32767
                return
    except (wave.Error, EOFError, OSError):
        pass  # another program's, which is decoded, or refused with a sentence
    yield from stream_audio(path, seconds)
