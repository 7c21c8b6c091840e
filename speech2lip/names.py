"""A subject's name from any file's name: safe as the name of a folder, and never that of another file."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 200  # bytes of a name; file systems allow 255, and suffixes follow
_MARK = re.compile(r".*~[0-9a-f]{16}", re.DOTALL)  # how a changed name ends, which no kept one may
_KEPT = 60  # characters of a name that is changed
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.DOTALL)  # on Windows' disks


def subject_name(text: str) -> str:
    """Name of the subject that is made from a file or folder called `text`.

    A plain name stays as it is. One that no folder can have, that would be hidden, or that another
    system writes otherwise (composed accents) is made readable and gets 16 digits of its SHA-256, so
    that two files never share a subject.
    """
    return text if is_plain(text) else _changed(text)


def is_plain(text: str) -> bool:
    """Whether a folder may be called so everywhere, and `subject_name` gives it to no other file."""
    return is_folder_name(text) and not _MARK.fullmatch(text)


def is_folder_name(text: str) -> bool:
    """Whether a file or folder may be called so everywhere: names of `subject_name` may."""
    return (
        text.isprintable()
        and not re.search(r"[/\\]", text)
        and text == text.strip(" .")
        and 0 < len(text.encode()) <= LONGEST
        and unicodedata.is_normalized("NFC", text)
        and not _RESERVED.fullmatch(text)
    )


def _changed(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    letters = (c if c.isprintable() and c not in "/\\~" else " " for c in unicodedata.normalize("NFC", text))
    short = " ".join("".join(letters).split())[:_KEPT].strip(" .")
    return f"{short or 'subject'}~{digest}"
