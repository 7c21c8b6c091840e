"""The C2PA library: that it is there, and how it is set up."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import UserError

_SPOOL_MB = 32  # of a file that is signed, from which on its copies lie on the disk
_BASE: dict[str, Any] = {
    "version": 1,
    # No hashes of chunks (merkle_tree_chunk_size_in_kb): they take less memory, but 0.91 often finds sound files altered then.
    "core": {"backing_store_memory_threshold_in_mb": _SPOOL_MB},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},  # nothing is asked of a network
    "builder": {"thumbnail": {"enabled": False}},
}
SPOOLED = _SPOOL_MB << 20  # bytes


def toolkit() -> Any:
    """The module `c2pa`; UserError where it is not installed, or does not run here."""
    try:
        return import_module("c2pa")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"content credentials need the package c2pa-python, which cannot be loaded here ({error}): run pip install c2pa-python, or "
            "render without them, with render.credentials=false"
        ) from error


def context_of(**changes: dict[str, Any]) -> Any:
    """Settings for reading and signing; changes: entries by section."""
    c2pa = toolkit()
    settings = _BASE | {name: {**_BASE.get(name, {}), **entries} for name, entries in changes.items()}
    return c2pa.Context(c2pa.Settings.from_dict(settings))
