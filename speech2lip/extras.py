"""Packages that only some commands need."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import UserError


def needs(extra: str, *modules: str) -> None:
    """Refuse, before any work is done, where modules of an optional extra are not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UserError(
            f"this needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            f'run pip install "speech2lip[{extra}]"'
        )
