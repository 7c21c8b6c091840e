"""Opening files with PyAV: regular files of known formats alone, and the streams that are meant."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import check_input
from .facts import Selection

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

# Demuxers that read the one file that they are given. Not among them: playlists (hls, dash, concat, imf),
# numbered pictures (image2), descriptions of filters (lavfi), and everything that opens a device or a network.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,mxf,gxf,nut,dv,rm,gif,apng,"
    "webp_anim,ivf,h264,hevc,vvc,av1,obu,m4v,mjpeg,mjpeg_2000,vc1,swf,yuv4mpegpipe,r3d,wtv,nsv,nuv,"
    "wav,w64,aiff,au,caf,flac,mp3,aac,ac3,eac3,dts,dtshd,truehd,amr,amrnb,amrwb,ape,wv,tta,tak,voc,mpc,mpc8,"
    "shn,gsm,loas,latm,sox,oma,dsf,iff,spdif,qcp,pvf,ircam,smjpeg,ea,bink,rl2,4xm,film_cpk,psxstr,vmd,mlp,adp"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"[playlist]", b"<smil", b"[Reference]", b"file ")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")  # PNG, JPEG, BMP, TIFF
_RAW, _TRANSPORT = ("h264", "hevc", "mpegvideo"), (".ts", ".m2ts", ".mts")
_LEAD = Fraction(1, 10)  # seconds of sound before the picture that are left out
_STILL = ("mjpeg", "png", "bmp", "webp", "tiff", "gif")  # codecs of cover art
INSTALL = 'reading video and sound needs PyAV, which is not installed: run pip install "av>=17"'


def open_media(path: Path) -> InputContainer:
    """Open a file for reading; UserError when it is none, a playlist, or unreadable.

    Nothing but this file is opened, whatever it says: only the protocol `file` and formats that hold their
    own data are let through.
    """
    check_file(path)
    try:
        import av  # here, so that training starts where it is missing
    except ImportError as error:
        raise UserError(INSTALL) from error
    name = f"file:{path.resolve()}"  # whatever it looks like, it is no protocol and no option
    try:
        container = av.open(name, "r", options=dict(_OPTIONS), metadata_errors="replace")
        if container.format.name in _RAW and path.suffix.lower() in _TRANSPORT:
            container.close()  # what begins within a packet is taken for the stream that it carries
            container = av.open(name, "r", "mpegts", options=dict(_OPTIONS), metadata_errors="replace")
        return container
    except read_errors() as error:
        raise UserError(_unreadable(path, error)) from error


def read_errors() -> tuple[type[Exception], ...]:
    """What reading raises: FFmpeg's own errors, some of which are none of Python's."""
    from av.error import FFmpegError

    return FFmpegError, OSError, ValueError


def check_file(path: Path) -> None:
    """Refuse what is not there, and folders, pipes, sockets and devices, which cannot be read twice."""
    check_input(path, "video or sound")


def is_picture(path: Path) -> bool:
    """Whether a file begins as a single picture does, whatever its name."""
    with suppress(OSError), open(path, "rb") as stream:
        head = stream.read(12)
        return head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")
    return False


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{path} may not be read (permission denied): change its permissions"
    head = path.open("rb").read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(_PLAYLISTS):
        return f"{path} is a playlist, a text that names other files, which is not followed: give the media file itself"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{path} cannot be read as video or audio ({reason}): give a media file"


def video_stream(container: InputContainer, path: Path, wanted: int = -1) -> VideoStream | None:
    """The main picture, or number `wanted`: no cover art, and among several the default and then the largest."""
    streams = [s for s in container.streams.video if s.codec_context is not None]
    if wanted >= 0:
        return _numbered(streams, wanted, path, "data.video_stream")
    streams = [s for s in streams if not _is_cover(s) and s.codec_context.width]
    if len(streams) > 1:  # pictures that nobody tagged as a cover
        streams = [s for s in streams if not (s.codec_context.name in _STILL and s.frames <= 1)] or streams
    return max(streams, key=lambda s: (_is_default(s), s.width * s.height, -s.index), default=None)


def audio_stream(container: InputContainer, path: Path, wanted: int = -1) -> AudioStream | None:
    """The main sound, or number `wanted`: the default, then the one with most channels, then the longest."""
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    if wanted >= 0:
        return _numbered(streams, wanted, path, "data.audio_stream")
    return max(streams, key=lambda s: (_is_default(s), s.channels, s.duration or 0, -s.index), default=None)


def _numbered(streams: Sequence[Stream], wanted: int, path: Path, key: str):  # type: ignore[no-untyped-def]
    for stream in streams:
        if stream.index == wanted:
            return stream
    kind = "video" if "video" in key else "audio"
    known = ", ".join(f"{s.index} ({_describe(s)})" for s in streams) or "none"
    raise UserError(f"{path} has no {kind} stream {wanted}: set {key} to one of its {kind} streams, {known}")


def _describe(stream: Stream) -> str:
    context = stream.codec_context
    if stream.type == "video":
        return f"{context.name} {context.width}x{context.height}"  # type: ignore[attr-defined]
    return f"{context.name}, {context.channels} channels"  # type: ignore[attr-defined]


def _is_cover(stream: Stream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _is_default(stream: Stream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.default)


def origin(container: InputContainer, path: Path, select: Selection = Selection()) -> Fraction:
    """Time stamp, in seconds, of the moment that is 0 s for picture and sound alike.

    That is the earliest of the file; or the first picture, where sound begins less than 0.1 s before it:
    encoders need some sound to get going, and it shall not move the picture by a frame. What lies before 0 is
    left out.
    """
    start = Fraction(container.start_time or 0, 1_000_000)
    picture = video_stream(container, path, select.video)
    if picture is not None and start_of(picture) - start < _LEAD:
        return start_of(picture)
    return max(start, Fraction(0)) if picture is None else start


def start_of(stream: Stream) -> Fraction:
    """A stream's first time stamp in seconds."""
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * stream.time_base
