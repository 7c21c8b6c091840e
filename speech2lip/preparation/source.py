"""The source video: its identity, and keeping it beside the subject."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ..config import Config
from ..files import atomic_path
from ..media.facts import Selection
from ..media.images import frame_files
from ..subject.layout import SubjectLayout


def selection(config: Config) -> Selection:
    """Which streams of the clip are read."""
    return Selection(config.data.video_stream, config.data.audio_stream, config.data.allow_partial)


def fingerprint(path: Path) -> list[Any]:
    """Cheap identity of a file or folder: name, size, modification time (and count)."""
    if path.is_dir():
        files = frame_files(path)
        return [str(path.resolve()), len(files), files[0].stat().st_mtime_ns, files[-1].stat().st_mtime_ns]
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def keep_source(video: Path, layout: SubjectLayout) -> str:
    """Keep the source beside the subject (a link where the file system allows, else a copy)."""
    if video.is_dir() or video.resolve().parent == layout.root.resolve():
        return os.path.relpath(video.resolve(), layout.root.resolve())
    target = layout.root / f"source{video.suffix.lower()}"
    with atomic_path(target) as path:
        path.unlink()
        try:
            os.link(video.resolve(), path)
        except OSError:
            shutil.copyfile(video, path)
    return target.name
