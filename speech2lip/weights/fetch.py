"""Downloading optional files when asked: over https only, bounded, resumed and verified."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

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

SCHEMES: tuple[str, ...] = ("https",)
LARGEST = 4 << 30  # bytes of a file whose size is not known
_SPARE = 1 << 20  # bytes that an archive may have beside its file, and a known file may have grown by


def fetch(name: str, say: Callable[[str], None] = print, agreed: bool = False) -> Path:
    """Download a file that has a public address, continuing where an earlier try stopped, and verify it.

    agreed: download a file without a known checksum too. Otherwise the user is asked, or, where nobody can
    answer, the file is refused.
    """
    entry = find(name)
    if check(entry) in (SOUND, UNVERIFIED):
        say(f"{entry.file}: already there")
        return entry.file
    if not entry.url:
        raise UserError(f"{name} has no public address: {entry.source} (licence: {entry.licence}; path: {entry.file})")
    _check_address(entry.url)
    if not entry.checksum and not agreed:
        _ask(entry)
    say(f"{entry.url} -> {entry.file} (licence: {entry.licence})")
    entry.file.parent.mkdir(parents=True, exist_ok=True)
    part = _downloaded(entry)
    os.replace(part, entry.file)
    say(f"{entry.file}: {_verdict(entry)}")
    return entry.file


def _downloaded(entry: WeightFile) -> Path:
    """The file under another name, with the right checksum where one is known."""
    part = entry.file.with_name(entry.file.name + ".part")
    _download(entry.url, part, _limit(entry))
    if entry.url.endswith((".zip", ".whl")):
        part = _unzip(part, entry)
    if entry.checksum and not matches(part, entry.checksum):
        part.unlink()
        raise UserError(
            f"{entry.url} gave a file whose checksum is not {entry.checksum}: try again, or {entry.source or 'look for a mirror'}"
        )
    return part


def _verdict(entry: WeightFile) -> str:
    """What is known of a file that has arrived."""
    if entry.checksum:
        return "verified"
    with open(entry.file, "rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(BLOCK):
            digest.update(block)
    return f"downloaded; nothing vouches for it, its sha256 is {digest.hexdigest()}"


def _limit(entry: WeightFile) -> int:
    """Bytes that a download may have."""
    return entry.size + _SPARE if entry.size else LARGEST


def _check_address(url: str) -> None:
    """Refuse what could be changed on its way."""
    if urlsplit(url).scheme not in SCHEMES:
        raise UserError(
            f"{url} is not an {SCHEMES[0]} address, so that anybody on the way could change the file: get it by hand"
        )


def _ask(entry: WeightFile) -> None:
    """The user agrees to a file that cannot be verified, or it is refused."""
    warning = f"no checksum of {entry.name} is known, so that nothing vouches for what {entry.url} sends"
    if not sys.stdin.isatty():
        raise UserError(f"{warning}: add --yes to download it all the same")
    if input(f"{warning}. Download it all the same? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError(f"{entry.name} was not downloaded: you did not say yes")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to another address that may be downloaded from."""

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Any:  # fmt: skip
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, part: Path, limit: int) -> None:
    """Append to `part` what of `url` it does not hold yet, until it has more than `limit` bytes."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        with opener.open(request, timeout=60) as answer:
            if have and answer.status != 206:  # the server does not continue: start over
                have = 0
            length = int(answer.headers.get("Content-Length") or 0)
            with _opened(part, bool(have)) as stream:
                _save(answer, stream, bar(part.name, have + length, "B"), have, limit)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            return
        raise UserError(
            f"{url} answered {error.code} ({error.reason}): check the address, or get the file by hand"
        ) from error
    except _TooLarge as error:
        part.unlink()
        raise UserError(f"{url} sends more than {limit} bytes: it is not the file that it should be") from error
    except (urllib.error.URLError, OSError) as error:
        raise UserError(
            f"{url} cannot be reached ({error}): connect and run the same command again, it continues"
        ) from error
    if length and part.stat().st_size < have + length:
        raise UserError(f"{url} ended early: run the same command again, it continues")


class _TooLarge(Exception):
    """More bytes came than the file has."""


def _opened(part: Path, append: bool) -> IO[bytes]:
    """The partial file, which keeps its name so that it can be continued, and must not be a link elsewhere."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC) | getattr(os, "O_NOFOLLOW", 0)
    return open(os.open(part, flags, 0o666), "wb")


def _save(answer: IO[bytes], stream: IO[bytes], meter: Any, have: int, limit: int) -> None:
    meter.update(have)
    while block := answer.read(BLOCK):
        have += len(block)
        if have > limit:
            raise _TooLarge
        stream.write(block)
        meter.update(len(block))
    meter.close()


def _unzip(archive: Path, entry: WeightFile) -> Path:
    """Replace a downloaded archive by the file in it that has the entry's name; no other path is made."""
    target = archive.with_name(entry.file.name + ".unzipped")
    limit = _limit(entry)
    try:
        with zipfile.ZipFile(archive) as content:
            member = next(m for m in content.infolist() if Path(m.filename).name == entry.file.name)
            if member.file_size > limit:
                raise _TooLarge
            with content.open(member) as source, atomic_path(target) as path, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, BLOCK)
    except _TooLarge as error:
        archive.unlink()
        raise UserError(f"{entry.url} holds more than {limit} bytes: it is not the file that it should be") from error
    except (zipfile.BadZipFile, StopIteration) as error:
        archive.unlink()
        raise UserError(f"{entry.url} gave no archive with {entry.file.name} in it: try again") from error
    archive.unlink()
    return target
