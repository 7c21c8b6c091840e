"""Curves of training, as TensorBoard reads them; nothing where it is missing, or where its files cannot be written.

Events are written here and at once: TensorBoard's own writer does so in a thread, which ends with a traceback on a
full disk.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import IO, Any

import cv2
import torch

from ..errors import UserError
from ..files import writing


class Curves:
    """Scalars and pictures over steps, in the folder that they are made for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._stream: IO[bytes] | None = None
        self._records: Any = None
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            print('training without curves: they need tensorboard (pip install "speech2lip[tensorboard]")')
            return
        self._event, self._summary = Event, Summary
        try:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.{time.time_ns() % 10**9}"
                self._stream = open(folder / name, "wb", buffering=0)  # noqa: SIM115 (closed by close)
            self._records = RecordWriter(self._stream)
        except UserError as error:
            self._give_up(error)
        self._add(0, file_version="brain.Event:2")

    def add_scalar(self, name: str, value: float, step: int) -> None:
        if self._records is not None:
            self._add_value(step, tag=name, simple_value=value)

    def add_image(self, name: str, image: torch.Tensor, step: int) -> None:
        """image: [3, H, W] in [0, 1]."""
        if self._records is not None:
            pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            png = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
            height, width = pixels.shape[:2]
            picture = self._summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
            self._add_value(step, tag=name, image=picture)

    def _add_value(self, step: int, **value: Any) -> None:
        self._add(step, summary=self._summary(value=[self._summary.Value(**value)]))

    def close(self) -> None:
        stream, self._stream, self._records = self._stream, None, None
        if stream is not None:
            stream.close()

    def _add(self, step: int, **content: Any) -> None:
        if self._records is None:
            return
        try:
            with writing(self.folder):
                self._records.write(self._event(wall_time=time.time(), step=step, **content).SerializeToString())
        except UserError as error:
            self._give_up(error)

    def _give_up(self, error: UserError) -> None:
        """Curves are not worth a training: it goes on, and ends where its own files cannot be written."""
        print(f"training goes on without curves: {error}", file=sys.stderr)
        self.close()
