"""Stages of preprocessing: what each was made from, and whether it is still valid."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import atomic_path


class Stages:
    """Remembers what each finished stage was made from, and its seconds; a stage depends on those before it."""

    def __init__(self, path: Path):
        self._path = path
        self._chain = ""
        try:
            content = json.loads(path.read_text())
            self._done: dict[str, str] = content["done"]
            self._seconds: dict[str, float] = content["seconds"]
        except (OSError, ValueError, KeyError):
            self._done, self._seconds = {}, {}

    def run(self, name: str, facts: list[Any], work: Callable[[], None], outputs: list[Path]) -> None:
        key = hashlib.sha256(json.dumps([self._chain, name, facts], default=str).encode()).hexdigest()
        self._chain = key
        if self._done.get(name) == key and all(p.exists() for p in outputs):
            print(f"{name}: unchanged, kept")
            return
        start = time.monotonic()
        work()
        self._done[name], self._seconds[name] = key, round(time.monotonic() - start, 3)
        with atomic_path(self._path) as path:
            path.write_text(json.dumps({"done": self._done, "seconds": self._seconds}))
