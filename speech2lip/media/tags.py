"""What a file says about itself and its streams: title, time of recording, language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .container import audio_stream, open_media, video_stream
from .facts import Selection

# Where the picture was taken is not among them: a result is shown to others.
_OF_FILE = (
    "title", "artist", "author", "album", "album_artist", "composer", "comment", "copyright", "creation_time", "date", "description",
    "synopsis", "genre", "show", "network", "season_number", "episode_id", "episode_sort", "keywords", "make", "model",
)  # fmt: skip
_OF_STREAM = ("language", "title")
_UNKNOWN = ("und", "")  # languages that say nothing
_LONGEST = 10_000  # characters of an entry


@dataclass(frozen=True)
class Tags:
    """Entries by FFmpeg's names: of the file, of its picture and of its sound."""

    file: Mapping[str, str] = field(default_factory=dict)
    video: Mapping[str, str] = field(default_factory=dict)
    audio: Mapping[str, str] = field(default_factory=dict)


def tags_of(path: Path, select: Selection = Selection()) -> Tags:
    """Entries that are still true of a video made from this one; none for a folder of frames."""
    if path.is_dir():
        return Tags()
    with open_media(path) as container:
        picture, sound = (
            chosen(container, path, number)
            for chosen, number in ((video_stream, select.video), (audio_stream, select.audio))
        )
        of_streams = [_chosen({} if s is None else s.metadata, _OF_STREAM) for s in (picture, sound)]
        return Tags(_chosen(container.metadata, _OF_FILE), *of_streams)


def _chosen(entries: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    known = {key.lower(): value for key, value in entries.items()}
    found = {name: known[name][:_LONGEST] for name in names if name in known}
    if found.get("language") in _UNKNOWN:
        del found["language"]
    return found
