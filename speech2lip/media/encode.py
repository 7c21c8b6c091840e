"""Encoding and muxing: whole files, and live streams."""

from __future__ import annotations

import os
import queue
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NoReturn, TypeVar

import cv2
import numpy as np

from ..errors import UserError
from .ffmpeg import ffmpeg

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
