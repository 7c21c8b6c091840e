"""Downloading optional files when asked, resumed and verified."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from ..files import atomic_path
from ..progress import bar
from .registry import (
    BLOCK,
    SOUND,
    UNVERIFIED,
    WeightFile,
    check,
    find,
    matches,
)


def fetch(name: str, say: Callable[[str], None] = print) -> Path:
    """Download a file that has a public address, continuing where an earlier try stopped, and verify it."""
    entry = find(name)
    if check(entry) in (SOUND, UNVERIFIED):
        say(f"{entry.file}: already there")
        return entry.file
    if not entry.url:
        raise UserError(f"{name} has no public address: {entry.source} (licence: {entry.licence}; path: {entry.file})")
    say(f"{entry.url} -> {entry.file} (licence: {entry.licence})")
    entry.file.parent.mkdir(parents=True, exist_ok=True)
    part = entry.file.with_name(entry.file.name + ".part")
    _download(entry.url, part)
    if entry.url.endswith((".zip", ".whl")):
        part = _unzip(part, entry)
    if entry.checksum and not matches(part, entry.checksum):
        part.unlink()
        raise UserError(
            f"{entry.url} gave a file whose checksum is not {entry.checksum}: try again, or {entry.source or 'look for a mirror'}"
        )
    os.replace(part, entry.file)
    say(f"{entry.file}: {'verified' if entry.checksum else 'downloaded, no checksum is known'}")
    return entry.file


def _download(url: str, part: Path) -> None:
    """Append to `part` what of `url` it does not hold yet."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            if have and answer.status != 206:  # the server does not continue: start over
                have = 0
            length = int(answer.headers.get("Content-Length") or 0)
            with open(part, "ab" if have else "wb") as stream:
                meter = bar(part.name, have + length, "B")
                meter.update(have)
                while block := answer.read(BLOCK):
                    stream.write(block)
                    meter.update(len(block))
                meter.close()
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            return
        raise UserError(
            f"{url} answered {error.code} ({error.reason}): check the address, or get the file by hand"
        ) from error
    except (urllib.error.URLError, OSError) as error:
        raise UserError(
            f"{url} cannot be reached ({error}): connect and run the same command again, it continues"
        ) from error
    if length and part.stat().st_size < have + length:
        raise UserError(f"{url} ended early: run the same command again, it continues")


def _unzip(archive: Path, entry: WeightFile) -> Path:
    """Replace a downloaded archive by the file in it that has the entry's name."""
    target = archive.with_name(entry.file.name + ".unzipped")
    try:
        with zipfile.ZipFile(archive) as content:
            member = next(m for m in content.namelist() if Path(m).name == entry.file.name)
            with content.open(member) as source, atomic_path(target) as path, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, BLOCK)
    except (zipfile.BadZipFile, StopIteration) as error:
        archive.unlink()
        raise UserError(f"{entry.url} gave no archive with {entry.file.name} in it: try again") from error
    archive.unlink()
    return target
