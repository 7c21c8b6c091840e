"""What is known of a media file before it is read, and which of its streams is meant."""

from __future__ import annotations

from dataclasses import dataclass

HDR_TRANSFERS = ("arib-std-b67", "smpte2084")  # HLG and PQ


@dataclass(frozen=True)
class Selection:
    """Which streams of a file to read, by the numbers that the file gives them (-1: the main one), and whether
    to go on where only a part of the picture can be decoded."""

    video: int = -1
    audio: int = -1
    allow_partial: bool = False


@dataclass(frozen=True)
class Colour:
    """How RGB stands for YUV, in the names that ffmpeg has for ITU-T H.273's numbers (`bt709`, `smpte170m`,
    `bt470bg`, `bt2020nc`, `smpte2084`, ...); full_range: Y is 0..255 and not 16..235; light: of HDR10, what display it was
    graded on and how bright it is, in x264's words."""

    matrix: str = "bt709"
    primaries: str = "bt709"
    transfer: str = "bt709"
    full_range: bool = False
    light: str = ""


@dataclass(frozen=True)
class VideoFacts:
    """The chosen picture.

    index: its number in the file; width, height: in square pixels and upright, as frames are read; fps: of the
    file (0: unknown); colour: what the RGB frames that `read_frames` yields are to be written with; stored:
    the file's own colour; aspect: width of a stored pixel over its height; orientation: (a, b, c, d), where
    stored (x, y) is shown at (a x + c y, b x + d y), y down; notes: what is done with the picture, for the user;
    nominal: frames per second while they come evenly, where the average differs (0: it does not, or is unknown).
    """

    index: int
    codec: str
    width: int
    height: int
    fps: float
    colour: Colour = Colour()
    stored: Colour = Colour()
    hdr: bool = False
    interlaced: bool = False
    bits: int = 8
    subsampling: str = "4:2:0"
    alpha: bool = False
    aspect: float = 1.0
    orientation: tuple[int, int, int, int] = (1, 0, 0, 1)
    notes: tuple[str, ...] = ()
    nominal: float = 0.0

    @property
    def mirrored(self) -> bool:
        a, b, c, d = self.orientation
        return a * d - b * c < 0

    @property
    def rotation(self) -> int:
        """Clockwise degrees by which the stored picture is turned, after mirroring left and right."""
        a, b, _, _ = self.orientation
        a, b = (-a, -b) if self.mirrored else (a, b)
        return {(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}[a, b]


@dataclass(frozen=True)
class AudioFacts:
    """The chosen sound: its number in the file, codec, samples per second, channels."""

    index: int
    codec: str
    rate: int
    channels: int


@dataclass(frozen=True)
class MediaInfo:
    """Streams of a media file, or of a folder of frames; `duration` in seconds, 0 where unknown.

    lost: frames whose data lie behind the end of the file; frames: those that its index lists (0: it has none).
    """

    video: VideoFacts | None
    audio: AudioFacts | None
    duration: float = 0.0
    frames: int = 0
    lost: int = 0

    @property
    def has_video(self) -> bool:
        return self.video is not None

    @property
    def has_audio(self) -> bool:
        return self.audio is not None

    @property
    def fps(self) -> float:
        return self.video.fps if self.video else 0.0
