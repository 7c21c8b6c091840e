"""The configuration as text: the commented YAML file, and the list that `speech2lip config` prints."""

from __future__ import annotations

import textwrap
from dataclasses import Field, is_dataclass
from typing import Any

import yaml

from .config import Config, entries

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
            lines += _commented(f"{indent}{last}: {scalar(value)}", _explained(item))
    return "\n".join(lines) + "\n"


def as_table(config: Config, under: str = "", only_changed: bool = False) -> str:
    """Keys below `under` with value, range and meaning, one paragraph each."""
    default = {name: value for name, _, value in entries()}
    lines = []
    for name, item, value in entries(config):
        inside = under == "" or name == under or name.startswith(f"{under}.")
        if is_dataclass(value) or not inside or (only_changed and value == default[name]):
            continue
        changed = f"  (default {scalar(default[name])})" if value != default[name] else ""
        meaning = textwrap.fill(_explained(item), _WIDTH, initial_indent="    ", subsequent_indent="    ")
        lines += [f"{name} = {scalar(value)}{changed}", meaning]
    return "\n".join(lines)


def scalar(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, str) and value and _is_plain(value):
        return value
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else f"{value!r}"


def _is_plain(text: str) -> bool:
    try:
        return bool(yaml.safe_load(f"a: {text} # b") == {"a": text})
    except yaml.YAMLError:
        return False


def _explained(item: Field[Any]) -> str:
    low, high, choices = (item.metadata[k] for k in ("low", "high", "choices"))
    if choices:
        return f"{item.metadata['meaning']} [{', '.join(map(str, choices))}]"
    return f"{item.metadata['meaning']} [{low:g} to {high:g}]" if low is not None else str(item.metadata["meaning"])


def _commented(entry: str, comment: str) -> list[str]:
    """`entry  # comment`, the comment wrapped into a column of its own."""
    column = max(_COLUMN, len(entry) + 2)
    first, *rest = textwrap.wrap(comment, _WIDTH - column - 2)
    return [f"{entry:<{column}}# {first}", *(f"{'':<{column}}# {line}" for line in rest)]
