"""Sound that arrives: WAV on a pipe, and files that are taken for sound by nobody else."""

import os
import struct
import threading

import numpy as np
import pytest

from speech2lip.errors import UserError
from speech2lip.media import pcm

VALUES = np.arange(-4000, 4000, dtype="<i2")


def _heard(data: bytes, step: int = 7) -> np.ndarray:
    """What is heard of a pipe into which `data` goes in pieces."""
    reader, writer = os.pipe()

    def send():
        with open(writer, "wb", buffering=0) as pipe:
            for k in range(0, len(data), step):
                pipe.write(data[k : k + step])

    threading.Thread(target=send, daemon=True).start()
    try:
        pieces = [(p * 32768).astype(int) for p in pcm.sound_of_stream(reader)]
        return np.concatenate(pieces) if pieces else np.zeros(0, int)
    finally:
        threading.Thread(target=lambda: [*iter(lambda: os.read(reader, 65536), b"")], daemon=True).start()


def _wav(size: int | None = None, rate: int = 16000, channels: int = 1, extra: bytes = b"", kind: int = 1) -> bytes:
    body = VALUES.tobytes()
    fmt = struct.pack("<HHIIHH", kind, channels, rate, 2 * rate * channels, 2 * channels, 16)
    if kind == 0xFFFE:
        fmt += struct.pack("<HHIH", 22, 16, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")
    head = b"fmt " + struct.pack("<I", len(fmt)) + fmt + extra
    return b"RIFF\xff\xff\xff\xffWAVE" + head + b"data" + struct.pack("<I", len(body) if size is None else size) + body


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("step", [1, 7, 4096])
def test_wav_on_a_pipe_is_heard_without_its_header(size, step):
    notes = b"LIST" + struct.pack("<I", 5003) + b"data" * 1250 + b"odd" + b"\0"
    np.testing.assert_array_equal(_heard(_wav(size, extra=notes), step), VALUES)
    np.testing.assert_array_equal(_heard(_wav(size, kind=0xFFFE), step), VALUES)


def test_what_follows_the_sound_of_a_wav_is_not_heard():
    np.testing.assert_array_equal(_heard(_wav() + b"LIST\x04\0\0\0abcd"), VALUES)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (16000, 2), (48000, 1)])
def test_another_wav_on_a_pipe_is_refused(rate, channels):
    with pytest.raises(UserError, match=f"standard input has {channels} channels of 16 bits at {rate} Hz"):
        _heard(_wav(rate=rate, channels=channels))


KINDS = {
    ("mp3", "libmp3lame", "fltp"): "an MP3 file", ("mp2", "mp2", "s16"): "an MP3 file", ("aac", "aac", "fltp"): "an AAC file",
    ("m4a", "aac", "fltp"): "an MP4 file", ("ogg", "libopus", "flt"): "an Ogg file", ("flac", "flac", "s16"): "a FLAC file",
    ("mkv", "pcm_s16le", "s16"): "a Matroska", ("avi", "pcm_s16le", "s16"): "an AVI file", ("ts", "mp2", "s16"): "an MPEG-TS file",
    ("aiff", "pcm_s16be", "s16"): "an AIFF file", ("au", "pcm_s16be", "s16"): "an AU file",
}  # fmt: skip


@pytest.mark.parametrize(("made", "kind"), KINDS.items(), ids=[made[0] for made in KINDS])
def test_compressed_sound_and_video_are_refused_by_name(tmp_path, made, kind):
    import av

    suffix, codec, fmt = made
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=48000, layout="stereo")
        noise = np.random.default_rng(1).uniform(-0.3, 0.3, (2, 1152 * 40)).astype(np.float32)
        data = noise if fmt == "fltp" else noise.T.reshape(1, -1)
        data = (data * 32767).astype(np.int16) if fmt == "s16" else data
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), fmt, "stereo")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    whole = path.read_bytes()
    bare = [whole[10 + int.from_bytes(whole[6:10], "big") :]] if whole[:3] == b"ID3" else []
    for data in [whole, *bare]:
        with pytest.raises(UserError, match=f"standard input is {kind}.*decode it first.*leave out --stream"):
            _heard(data, 997)
    with pytest.raises(UserError, match=f"a.{suffix} is {kind}"):
        list(pcm.sound_of_growing_file(path, 0.2))


@pytest.mark.parametrize("first", [b"\xff\xff\xff\xff", b"\xff\xfb\x90\x44", b"\xff\xf1\x50\x80\x10\x00", b"GG", b""])
def test_raw_sound_that_begins_like_another_file_is_heard(first):
    values = np.concatenate([np.frombuffer(first, "<i2"), VALUES])
    np.testing.assert_array_equal(_heard(values.tobytes()), values)
    np.testing.assert_array_equal(_heard(values[:4].tobytes()), values[:4])


def test_a_pipe_that_pauses_is_waited_for(tmp_path):
    pipe = tmp_path / "in.wav"
    os.mkfifo(pipe)

    def send():
        with open(pipe, "wb", buffering=0) as stream:
            stream.write(_wav()[:1000])
            threading.Event().wait(0.4)
            stream.write(_wav()[1000:])

    threading.Timer(0.3, send).start()
    heard = np.concatenate(list(pcm.sound_of_growing_file(pipe, patience=0.1)))
    np.testing.assert_array_equal((heard * 32768).astype(int), VALUES)
