"""What somebody may do to a signed video: each function changes the file at `path`, or writes another there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg

CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the boxes of an MP4 file."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, at + size
        at += size


def box(data: bytes, kind: bytes) -> slice:
    return next(slice(start, end) for k, start, end in boxes(data) if k == kind)


def credentials(data: bytes) -> bytes:
    found = data[box(data, b"uuid")]
    assert found[8:24] == CREDENTIALS
    return found


def unsigned(data: bytes) -> bytes:
    """The bytes of a signed MP4 but for its credentials."""
    place = box(data, b"uuid")
    return data[: place.start] + data[place.stop :]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def ffmpeg(*arguments: object) -> None:
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    subprocess.run([*program, *map(str, arguments)], check=True, timeout=60)


def made_again(path: Path, *arguments: object) -> None:
    """The file as ffmpeg writes it with these options, which knows nothing of credentials."""
    other = path.with_name("again.mp4")
    ffmpeg("-i", path, *arguments, "-movflags", "+faststart", other)
    other.replace(path)


def with_credentials_of(path: Path, data: bytes) -> None:
    """Put the credentials of a signed file into another, behind its first box."""
    plain = path.read_bytes()
    first = box(plain, b"ftyp").stop
    path.write_bytes(plain[:first] + credentials(data) + plain[first:])


# ---------------------------------------------------------------- the changes


def a_bit_of_a_picture(path: Path) -> None:
    flip(path, box(path.read_bytes(), b"mdat").start + 2000)


def the_last_bit(path: Path) -> None:
    flip(path, path.stat().st_size - 1)


def the_title(path: Path) -> None:
    data = path.read_bytes()
    flip(path, data.index(b"SoundHandler"))


def the_header(path: Path) -> None:
    flip(path, 12)


def padding(path: Path) -> None:
    data = path.read_bytes()
    start = box(data, b"free").start
    assert int.from_bytes(data[start : start + 4], "big") == 8
    path.write_bytes(data[:start] + b"\0\0\0\x08skip" + data[start + 8 :])


def cut(path: Path) -> None:
    made_again(path, "-t", "0.6", "-c", "copy")


def cut_with_credentials(path: Path) -> None:
    data = path.read_bytes()
    cut(path)
    with_credentials_of(path, data)


def encoded_again(path: Path) -> None:
    made_again(path, "-c:v", "libx264", "-crf", "18", "-c:a", "copy")


def other_sound(path: Path) -> None:
    data = path.read_bytes()
    made_again(
        path,
        "-f",
        "lavfi",
        "-i",
        "sine=440:d=1",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        "-shortest",
    )
    with_credentials_of(path, data)


def credentials_out(path: Path) -> None:
    path.write_bytes(unsigned(path.read_bytes()))


def credentials_hidden(path: Path) -> None:
    data = path.read_bytes()
    place = box(data, b"uuid")
    path.write_bytes(data[: place.start + 4] + b"free" + data[place.start + 8 :])


def a_byte_less(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bytes_behind(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"hello")


def a_box_behind(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0\0\0\x10freesecret!!")


def credentials_twice(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data + credentials(data))


def a_statement(path: Path) -> None:
    """Consent that was not given is given."""
    data = path.read_bytes()
    at = data.index(b"unasked")
    path.write_bytes(data[:at] + b"options"[:7] + data[at + 7 :])


def a_hash(path: Path) -> None:
    data = path.read_bytes()
    flip(path, data.index(b"c" * 64))


def the_signature(path: Path) -> None:
    data = path.read_bytes()
    flip(path, data.rindex(b"c2pa.signature", 0, box(data, b"uuid").stop) + 1700)


ALTERED = (
    a_bit_of_a_picture, the_last_bit, the_title, the_header, padding, cut_with_credentials, other_sound, a_byte_less, half, bytes_behind,
    a_box_behind, credentials_twice, a_statement, a_hash,
)  # fmt: skip
MISSING = (cut, encoded_again, credentials_out, credentials_hidden)
