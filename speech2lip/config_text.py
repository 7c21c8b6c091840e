"""The configuration as text: the commented YAML file, and the list that `speech2lip config` prints."""

from __future__ import annotations

import re
import textwrap
from dataclasses import Field, is_dataclass
from typing import Any

import yaml

from .config import AUTO, Config, entries, number_text

_COLUMN, _WIDTH = 30, 120  # where comments begin, and where they end
_HEADER = """\
# Every key of the configuration with its default, its meaning and what it may be, as printed by
# `speech2lip config --yaml`. A subject's file needs only `inherit_from` (a preset, or a path) and what
# differs; `key=value` on the command line wins over files.
"""


def as_yaml(config: Config) -> str:
    """The configuration as a YAML file in which every key is explained."""
    lines = [_HEADER]
    for name, item, value in entries(config):
        indent, last = "  " * name.count("."), name.rpartition(".")[2]
        if is_dataclass(value):
            lines += [""] if indent == "" else []
            lines += _commented(f"{indent}{last}:", item.metadata["meaning"])
        else:
            lines += _commented(f"{indent}{last}: {_written(item, value)}", _explained(item))
    return "\n".join(lines) + "\n"


def as_table(config: Config, under: str = "", only_changed: bool = False) -> str:
    """Keys below `under` with value, range and meaning, one paragraph each."""
    default = {name: value for name, _, value in entries()}
    lines = []
    for name, item, value in entries(config):
        inside = under == "" or name == under or name.startswith(f"{under}.")
        if is_dataclass(value) or not inside or (only_changed and value == default[name]):
            continue
        changed = f"  (default {_written(item, default[name])})" if value != default[name] else ""
        meaning = "\n".join(f"    {line}" for line in _wrapped(_explained(item), _WIDTH - 4))
        lines += [f"{name} = {_written(item, value)}{changed}", meaning]
    return "\n".join(lines)


def _written(item: Field[Any], value: Any) -> str:
    return AUTO if item.metadata["auto"] and value == 0 else scalar(value)


def _open(item: Field[Any]) -> str:
    return f"{AUTO}, or " if item.metadata["auto"] else ""


def scalar(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, str) and value and _is_plain(value):
        return value
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    return str(value).lower() if isinstance(value, bool) else f"{value!r}"


def _escaped(character: str) -> str:
    """Within double quotes."""
    if character in '\\"':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08X}"


def _is_plain(text: str) -> bool:
    try:
        return bool(yaml.safe_load(f"a: {text} # b") == {"a": text})
    except yaml.YAMLError:
        return False


def _explained(item: Field[Any]) -> str:
    low, high, choices = (item.metadata[k] for k in ("low", "high", "choices"))
    if choices:
        return f"{item.metadata['meaning']} [{', '.join(map(str, choices))}]"
    allowed = f" [{_open(item)}{number_text(low)} to {number_text(high)}]" if low is not None else ""
    return f"{item.metadata['meaning']}{allowed}"


def _wrapped(text: str, width: int) -> list[str]:
    """Lines that do not break within [brackets]."""
    held = re.sub(r"\[[^]]*\]", lambda found: found[0].replace(" ", "\0"), text)
    return [line.replace("\0", " ") for line in textwrap.wrap(held, width)]


def _commented(entry: str, comment: str) -> list[str]:
    """`entry  # comment`, the comment wrapped into a column of its own; below entries that leave no room for it."""
    column = max(_COLUMN, len(entry) + 2)
    if column > _WIDTH - _COLUMN:
        return [entry, *(f"{'':<{_COLUMN}}# {line}" for line in _wrapped(comment, _WIDTH - _COLUMN - 2))]
    first, *rest = _wrapped(comment, _WIDTH - column - 2)
    return [f"{entry:<{column}}# {first}", *(f"{'':<{column}}# {line}" for line in rest)]
