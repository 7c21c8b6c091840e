"""What a training shows while it runs, for people who look at its folder: curves as a table, and a picture."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import IO, Protocol

import torch

from ..errors import UserError
from ..files import atomic_path, writing
from ..media.images import encoded_image

CURVES, PREVIEW = "curves.csv", "preview.jpg"
_HEAD = ("curve", "step", "value")


class Writer(Protocol):
    """Where curves go."""

    def add_scalar(self, name: str, value: float, step: int) -> None: ...

    def add_image(self, name: str, image: torch.Tensor, step: int) -> None:
        """image: [3, H, W] in [0, 1]."""
        ...

    def close(self) -> None: ...


class Record:
    """`curves.csv` (curve, step, value) and `preview.jpg`, the newest picture, in a model's folder.

    fresh: a training begins, and what an earlier one showed goes. What cannot be written is not worth a training.
    """

    def __init__(self, folder: Path, fresh: bool):
        self._folder = folder
        self._stream: IO[str] | None = None
        try:
            with writing(folder / CURVES):
                new = fresh or not (folder / CURVES).is_file()
                self._stream = open(folder / CURVES, "w" if new else "a", newline="", encoding="utf-8")  # noqa: SIM115
                if new:
                    csv.writer(self._stream).writerow(_HEAD)
                if fresh:
                    (folder / PREVIEW).unlink(missing_ok=True)
        except UserError as error:
            self._give_up(error)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        if self._stream is None:
            return
        try:
            with writing(self._folder / CURVES):
                csv.writer(self._stream).writerow((name, step, f"{value:.6g}"))
                self._stream.flush()
        except UserError as error:
            self._give_up(error)

    def add_image(self, name: str, image: torch.Tensor, step: int) -> None:
        if self._stream is None:
            return
        pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        try:
            with atomic_path(self._folder / PREVIEW) as path:
                path.write_bytes(encoded_image(PREVIEW[-4:], pixels))
        except UserError as error:
            self._give_up(error)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _give_up(self, error: UserError) -> None:
        print(f"training goes on without {CURVES}: {error}", file=sys.stderr)
        self.close()


class Together:
    """Several writers as one."""

    def __init__(self, *writers: Writer):
        self._writers = writers

    def add_scalar(self, name: str, value: float, step: int) -> None:
        for writer in self._writers:
            writer.add_scalar(name, value, step)

    def add_image(self, name: str, image: torch.Tensor, step: int) -> None:
        for writer in self._writers:
            writer.add_image(name, image, step)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def curves_in(file: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves of a table, (step, value) by name; rows that are no numbers, such as one that is half written, are left out."""
    curves: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            for row in csv.reader(stream):
                try:
                    name, step, value = row
                    point = int(step), float(value)
                except ValueError:
                    continue
                curves[name].append(point)
    except (OSError, UnicodeDecodeError):
        return {}
    return dict(curves)
