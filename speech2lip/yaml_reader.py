"""YAML files of settings, read within bounds: every value stays the text that was typed.

What a text means is for the type of its setting to say, so that a subject may be called 007, 12:30 or null.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError

_MOST_BYTES = 2**20  # of a file
_DEEPEST = 50  # brackets and indentations within each other
_TEXT = (None, "!", "tag:yaml.org,2002:str")  # tags that mean what every value is here


def read_yaml(path: Path, what: str, remedy: str) -> dict[str, Any]:
    """The mapping that a YAML file holds: dicts, lists and text; an empty file is an empty mapping.

    what: the file in messages; remedy: what to do when it cannot be read. Raises UserError for files
    that are unreadable, too large or no mapping, and for repeated keys, aliases and tags.
    """
    try:
        if path.is_fifo():  # one that nobody writes would be waited for
            raise UserError(f"{what} is a pipe: {remedy}")
        with open(path, "rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{what} cannot be read ({reason}): {remedy}") from error
    if len(data) > _MOST_BYTES:
        raise UserError(f"{what} is larger than {_MOST_BYTES >> 20} MB: give a YAML file of settings")
    try:
        content = _content(data.decode("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{what} is not valid YAML ({_reason(error)}): mend the file") from error
    if not isinstance(content, dict):
        kind = "list" if isinstance(content, list) else "text"
        raise UserError(f"{what} holds a {kind}, needed are `key: value` lines")
    return content


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem}, line {error.problem_mark.line + 1}"
    return str(error).splitlines()[0]


@dataclass
class _Open:
    """A mapping or list that is being read. prefix: dotted keys that lead to it; key: waits for its value."""

    content: dict[str, Any] | list[Any]
    prefix: str
    key: str | None = None

    def add(self, value: Any, line: int) -> None:
        if isinstance(self.content, list):
            self.content.append(value)
        elif self.key is not None:
            self.content[self.key], self.key = value, None
        elif not isinstance(value, str):
            raise ValueError(f"a key is no text, line {line}")
        elif value in self.content:
            raise ValueError(f"the key {(self.prefix + value)[-60:]} is repeated, line {line}")
        else:
            self.key = value


def _content(text: str) -> Any:
    """Of the one document in `text`. ValueError, besides PyYAML's own errors, for what is not allowed."""
    outside = _Open([], "")
    opened = [outside]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        _check(event, len(opened), line)
        if isinstance(event, yaml.ScalarEvent):
            opened[-1].add(event.value, line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            inside = f"{opened[-1].prefix}{opened[-1].key}." if opened[-1].key is not None else opened[-1].prefix
            opened.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], inside))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            opened[-2].add(opened.pop().content, line)
    if len(outside.content) > 1:
        raise ValueError("it has several documents")
    return outside.content[0] if outside.content else {}  # type: ignore[index]


def _check(event: yaml.Event, depth: int, line: int) -> None:
    if isinstance(event, yaml.AliasEvent):
        raise ValueError(f"*{event.anchor[:60]} is an alias: write the value itself, line {line}")
    if getattr(event, "tag", None) not in _TEXT:
        raise ValueError(f"it has the tag {event.tag[:60]}: leave it out, line {line}")
    if depth > _DEEPEST:
        raise ValueError(f"it is nested too deeply, line {line}")
