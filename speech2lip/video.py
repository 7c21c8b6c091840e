"""Decoding, encoding and muxing through ffmpeg; frames are RGB uint8 [H, W, 3] inside.

Reading resamples to a constant rate by presentation time: frame i shows what is on
screen at i / fps seconds after the container's start, for constant and variable rates
alike; rotation flags are applied. Only one frame is held at a time.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NoReturn, TypeVar

import cv2
import numpy as np

from .errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def ffmpeg() -> str:
    """Path of the ffmpeg program (the one that imageio-ffmpeg carries, or IMAGEIO_FFMPEG_EXE)."""
    import imageio_ffmpeg  # here, so that training starts where it is missing

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@dataclass(frozen=True)
class MediaInfo:
    """Streams of a media file: `fps` and `duration` (seconds) are 0 where unknown."""

    has_video: bool
    has_audio: bool
    fps: float
    duration: float


def probe(path: Path) -> MediaInfo:
    """Read what ffmpeg says of a file; raises UserError when it is missing or unreadable."""
    if not path.exists():
        raise UserError(f"{path} does not exist: give the path of a video or audio file")
    if path.is_dir():
        return MediaInfo(True, False, 0.0, 0.0)
    run = subprocess.run([ffmpeg(), "-hide_banner", "-i", str(path)], capture_output=True)
    text = run.stderr.decode("utf-8", "replace")
    if "Input #0" not in text:
        reason = text.strip().splitlines()[-1] if text.strip() else "no output"
        raise UserError(f"{path} cannot be read as video or audio ({reason.split(': ')[-1]}): give a media file")
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text)
    rate = re.search(r"Stream #.*Video:.*?([\d.]+) (?:fps|tbr)", text)
    return MediaInfo(
        has_video=bool(re.search(r"Stream #.*Video:(?!.*\(attached pic\))", text)),
        has_audio=bool(re.search(r"Stream #.*Audio:", text)),
        fps=float(rate.group(1)) if rate else 0.0,
        duration=sum(float(t) * s for t, s in zip(duration.groups(), (3600, 60, 1), strict=True)) if duration else 0.0,
    )


def check_video(path: Path) -> MediaInfo:
    """`probe`, and refuse what is not a moving picture."""
    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        raise UserError(f"{path} is a single image: give a video (or a folder of numbered frames) of a talking person")
    info = probe(path)
    if not info.has_video:
        raise UserError(f"{path} has no video stream: give a video of a talking person")
    return info


def expected_frames(path: Path, fps: float) -> int | None:
    """About how many frames `read_frames` will yield; None where the container does not say."""
    return len(frame_files(path)) if path.is_dir() else round(probe(path).duration * fps) or None


def read_frames(
    path: Path, fps: float, max_side: int | None = None, start: int = 0
) -> Generator[np.ndarray, None, None]:
    """Decode a video, or a folder of image frames, at a constant rate.

    path: video file, or folder of images taken in name order as one frame each;
    max_side: shrink frames so that no side exceeds it; start: first frame wanted (the
    frames are the same ones as when reading from the beginning). Yields RGB uint8 [H, W, 3].
    """
    if path.is_dir():
        yield from _read_folder(path, max_side, start)
        return
    begin = start / fps
    filters = f"fps=fps={fps:.8g}:start_time={begin:.8f}"
    if max_side:
        filters += f",scale=w='min({max_side},iw)':h='min({max_side},ih)':force_original_aspect_ratio=decrease"
    seek = ["-ss", f"{begin - 2:.6f}"] if begin > 2 else []
    command = [ffmpeg(), "-v", "error", "-nostdin", "-copyts", "-start_at_zero", *seek, "-i", str(path)]
    command += ["-map", "0:v:0", "-vf", filters]
    command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, bufsize=1 << 22)
        assert process.stdout is not None
        count = 0
        try:
            while (size := _ppm_header(process.stdout)) is not None:
                width, height = size
                data = process.stdout.read(width * height * 3)
                if len(data) < width * height * 3:
                    break
                count += 1
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
            if process.wait() != 0 and count == 0:
                errors.seek(0)
                reason = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                raise UserError(f"{path} cannot be decoded ({''.join(reason)}): convert it with ffmpeg first")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _ppm_header(stream) -> tuple[int, int] | None:  # type: ignore[no-untyped-def]
    """Read `P6 <width> <height> 255`, as ffmpeg writes it; None at the end of the stream."""
    if stream.readline().strip() != b"P6":
        return None
    width, height = stream.readline().split()
    stream.readline()
    return int(width), int(height)


def frame_files(folder: Path) -> list[Path]:
    """Images of a folder in natural order (2.jpg before 10.jpg)."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"{folder} holds no images: extract the video's frames there, or give the video itself")
    return sorted(files, key=lambda p: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", p.name)])


def _read_folder(folder: Path, max_side: int | None, start: int) -> Iterator[np.ndarray]:
    for file in frame_files(folder)[start:]:
        frame = read_image(file)
        shrink = max_side / max(frame.shape[:2]) if max_side else 1.0
        yield cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else frame


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB uint8 [H, W, 3]."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{path} cannot be read as an image: the file is missing or damaged, make it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write RGB [H, W, 3] or grey [H, W] uint8; `quality` is JPEG's, with full-resolution colour."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    options = []
    if path.suffix.lower() in (".jpg", ".jpeg"):
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    if not cv2.imwrite(str(path), bgr, options):
        raise UserError(f"cannot write {path}: choose a writable place")


E = TypeVar("E", bound="_Encoder")


class _Encoder:
    """ffmpeg, which is started by the first frame and fed with frames: RGB uint8 of one size; odd sizes are
    padded by repeating the last column or row."""

    def __init__(self, out: Path | str, fps: float):
        self.out, self.fps = out, fps
        self.frames = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def _end_sound(self) -> None:
        """No more sound will come."""

    def write(self, frame: np.ndarray) -> None:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        if self._process is None:
            self._process = self._start(frame.shape[1], frame.shape[0])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._failed(self._process)
        self.frames += 1

    def close(self) -> None:
        if self._process is None:
            raise UserError(f"no frame was rendered for {self.out}: give longer audio")
        assert self._process.stdin is not None
        self._end_sound()
        self._process.stdin.close()
        if self._process.wait() != 0:
            self._failed(self._process)

    def _failed(self, process: subprocess.Popen[bytes]) -> NoReturn:
        """Raise what ffmpeg said when it stopped."""
        process.wait()
        self._errors.seek(0)
        reason = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        raise UserError(f"ffmpeg could not write {self.out} ({''.join(reason)}): choose another place or format")

    def __enter__(self: E) -> E:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.close()
        elif self._process is not None:
            self._end_sound()
            self._process.kill()
            self._process.wait()


class VideoWriter(_Encoder):
    """H.264 (yuv420p, even size, faststart, BT.709) with optional audio, written atomically by the caller.

    `audio` is any file with sound; the result lasts `duration` seconds when given
    (silence is appended where the audio ends sooner).
    """

    def __init__(
        self, path: Path, fps: float, audio: Path | None = None, duration: float | None = None,
        crf: int = 17, preset: str = "medium",
    ):  # fmt: skip
        super().__init__(path, fps)
        self.audio, self.duration, self.crf, self.preset = audio, duration, crf, preset

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        command = [ffmpeg(), "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-framerate", f"{self.fps:.8g}", "-i", "-"]
        if self.audio is not None:
            command += ["-i", str(self.audio), "-map", "0:v:0", "-map", "1:a:0"]
            command += ["-af", "aresample=async=1:first_pts=0,apad", "-c:a", "aac", "-b:a", "192k", "-shortest"]
        if self.duration is not None:
            command += ["-t", f"{self.duration:.6f}"]
        command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]
        command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
        command += ["-c:v", "libx264", "-preset", self.preset, "-crf", str(self.crf), "-movflags", "+faststart"]
        return subprocess.Popen([*command, str(self.out)], stdin=subprocess.PIPE, stderr=self._errors)


class LiveWriter(_Encoder):
    """H.264 and sound that players can read while it is written: frames and sound go in as they come.

    out: file (.mkv, .ts, or .mp4 in fragments), or "-" for Matroska on standard output.
    Sound is float [N] in [-1, 1], 16 kHz.
    """

    _FORMATS: ClassVar[dict[str, list[str]]] = {
        ".mkv": ["-c:a", "pcm_s16le", "-f", "matroska"],  # sound as it is: an encoder would hold some back
        ".ts": ["-c:a", "aac", "-f", "mpegts"],
        ".mp4": ["-c:a", "aac", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof"],
    }

    def __init__(self, out: str, fps: float, crf: int = 20):
        suffix = ".mkv" if out == "-" else Path(out).suffix.lower()
        if suffix not in self._FORMATS:
            raise UserError(f"{out} cannot be written live: use .mkv, .ts, .mp4, or - for standard output")
        super().__init__(out, fps)
        self.crf, self._container = crf, self._FORMATS[suffix]
        self._sound: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def hear(self, samples: np.ndarray) -> None:
        """Sound that goes with the frames; may run ahead of them."""
        self._sound.put((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())

    def _end_sound(self) -> None:
        self._sound.put(None)

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        """ffmpeg reads frames from its standard input and sound from a second pipe, which a thread fills:
        it waits for whichever is behind, so neither may block the other."""
        ear, mouth = os.pipe()
        command = [ffmpeg(), "-v", "error", "-y", "-probesize", "32", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-framerate", f"{self.fps:.8g}", "-i", "pipe:0"]
        command += ["-probesize", "32", "-f", "s16le", "-ar", "16000", "-ac", "1", "-i", f"pipe:{ear}"]
        command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "libx264"]
        command += ["-preset", "veryfast", "-tune", "zerolatency", "-crf", str(self.crf)]
        command += ["-g", str(round(2 * self.fps))]
        command += ["-flush_packets", "1", *self._container, "pipe:1" if self.out == "-" else str(self.out)]
        target = None if self.out == "-" else subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=target, stderr=self._errors, pass_fds=(ear,))
        os.close(ear)
        threading.Thread(target=self._speak, args=(mouth,), daemon=True).start()
        return process

    def _speak(self, mouth: int) -> None:
        with open(mouth, "wb", buffering=0) as pipe:
            while (data := self._sound.get()) is not None:
                try:
                    pipe.write(data)
                except BrokenPipeError:
                    return
