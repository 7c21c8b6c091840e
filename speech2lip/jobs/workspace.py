"""The folder that holds everything of one user: people, models, results, uploads and jobs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..library.places import Places
from .store import Jobs
from .uploads import Uploads


@dataclass(frozen=True)
class Workspace:
    """A folder as the commands see it when they are run in it: `dataset`, `log` and `rendering_result`; and `jobs` and
    `uploads` beside them."""

    root: Path

    @property
    def places(self) -> Places:
        return Places(self.root / "dataset", self.root / "log", self.root / "rendering_result")

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.root.resolve() / "jobs")

    @cached_property
    def uploads(self) -> Uploads:
        return Uploads(self.root.resolve() / "uploads")
