"""The folder in which the nodes of a cluster work: one that all of them see, or one behind a URL, of which each fetches its part."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..extras import needs
from ..files import atomic_path, copy_file
from ..jobs.orders import FILE, KINDS, RESULT, Order

_INPUTS = "inputs"  # in a job's folder behind a URL: the files of its order
_FINISHED = "finished"  # in a job's folder: it was done


class Shared:
    """root: a folder that every node sees under this path, or a URL that fsspec knows, such as s3://bucket/people. It holds
    `dataset`, `log`, and `jobs` with a folder for each."""

    def __init__(self, root: str):
        self._root = root.rstrip("/")
        self._system: Any = None
        if "://" in root:
            needs("ray", "fsspec")
            import fsspec

            try:
                self._system, self._root = fsspec.core.url_to_fs(self._root)
            except (ImportError, ValueError, OSError) as error:
                raise UserError(
                    f"{root} cannot be used ({error}): give a folder, or a URL that fsspec knows"
                ) from error

    def finished(self, job: str) -> bool:
        """Whether a job was done, by whichever node."""
        place = f"jobs/{job}/{_FINISHED}"
        return self._path(place).is_file() if self._system is None else bool(self._system.exists(self._at(place)))

    def finish(self, job: str) -> None:
        """Say that a job was done; what it made is there."""
        place = f"jobs/{job}/{_FINISHED}"
        if self._system is None:
            self._path(place).touch()
        else:
            self._system.pipe_file(self._at(place), b"done")

    def send(self, order: Order, job: str) -> Order:
        """Before nodes work: files of this machine become ones that they can have."""
        if self._system is None:
            return order
        values = dict(order.values)
        for name, value in values.items():
            if KINDS[order.kind][name].kind == FILE:
                values[name] = f"{_INPUTS}/{name}{Path(str(value)).suffix}"
                place = self._at(f"jobs/{job}/{values[name]}")
                self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
                self._system.put_file(str(value), place)
        return replace(order, values=values)

    def fetch(self, job: str, out: Path) -> None:
        """The result of a job that was done becomes the file `out` of this machine."""
        out.parent.mkdir(parents=True, exist_ok=True)
        place = f"jobs/{job}/{RESULT}"
        if self._system is None:
            copy_file(self._path(place), out)
        else:
            with atomic_path(out) as path:
                self._system.get_file(self._at(place), str(path))

    @contextmanager
    def opened(self, order: Order, job: str) -> Iterator[tuple[Path, Order]]:
        """On a node: the root as a folder, and the order with paths of this node. Behind a URL it holds this person and this job
        alone, and is stored again when the block ends."""
        if self._system is None:
            yield Path(self._root), order
            return
        parts = (f"dataset/{order.name}", f"log/{order.name}", f"jobs/{job}")
        with tempfile.TemporaryDirectory(prefix="speech2lip-") as made:
            here = Path(made)
            for part in parts:
                if self._system.exists(self._at(part)):
                    self._system.get(f"{self._at(part)}/", f"{here / part}/", recursive=True)
            try:
                yield here, _below(order, here / "jobs" / job)
            finally:
                for part in parts:
                    self._store(here / part, self._at(part))

    def _store(self, folder: Path, place: str) -> None:
        """A folder as it is now, without what it held once."""
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        known = set(self._system.find(place)) if self._system.exists(place) else set()
        for name, path in files.items():
            self._system.makedirs(f"{place}/{name}".rpartition("/")[0], exist_ok=True)
            self._system.put_file(str(path), f"{place}/{name}")
        for gone in known - {f"{place}/{name}" for name in files}:
            self._system.rm_file(gone)

    def _path(self, place: str) -> Path:
        return Path(self._root) / place

    def _at(self, place: str) -> str:
        return f"{self._root}/{place}"


def _below(order: Order, folder: Path) -> Order:
    """An order whose files lie in the job's folder."""
    kinds = KINDS[order.kind]
    return replace(
        order, values={k: str(folder / str(v)) if kinds[k].kind == FILE else v for k, v in order.values.items()}
    )
