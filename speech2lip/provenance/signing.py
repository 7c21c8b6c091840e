"""Rendered files get their credentials: inside MP4, MOV and JPEG, beside all others."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..config import RenderConfig
from ..errors import UserError
from ..files import atomic_path, draft_beside, link_target
from .boxes import unhashed
from .identity import Identity, identity_of, own_file
from .statement import LABEL, Statement
from .streams import Nowhere, Watched, spooling_beside, system_errors, uninterrupted
from .toolkit import context_of, toolkit

SIDECAR = ".c2pa"  # follows the whole name of the file: a.mkv.c2pa
ANY_FILE = "application/octet-stream"
EMBEDDED = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime"}
_JPEG = "image/jpeg"
_BEGINNING = 8  # bytes
_TRIAL = Statement("0" * 64, "0" * 64, "0" * 64, "0" * 64, 0, {}, None)


@dataclass(frozen=True)
class Signing:
    """identity: whose key signs; statement: what it signs of every file."""

    identity: Identity
    statement: Statement

    def image(self, data: bytes) -> bytes:
        """A JPEG with credentials; its pixels stay to the bit."""
        out = io.BytesIO()
        self._sign(self.statement, _JPEG, io.BytesIO(data), out)
        return out.getvalue()

    def video(self, source: Path, target: Path) -> None:
        """Write `target`, an MP4 or MOV: `source` with credentials inside. OSError where there is no room."""
        statement = self.statement.of_boxes(unhashed(source))
        with (
            uninterrupted() as stop, spooling_beside(target, source.stat().st_size), open(source, "rb") as read, open(target, "w+b") as write
        ):  # fmt: skip
            watched = Watched(write, stop)
            with system_errors(target, watched):
                self._sign(statement, EMBEDDED[target.suffix.lower()], Watched(read, stop), watched)

    def beside(self, source: Path) -> bytes:
        """Credentials of a file of any kind, to be kept beside it."""
        size = source.stat().st_size
        with uninterrupted() as stop, spooling_beside(source, size), open(source, "rb") as read, system_errors(source):
            return self._sign(self.statement, ANY_FILE, Watched(read, stop), Nowhere(), embed=False)

    def check(self) -> None:
        """Sign a few bytes; C2paError where that does not work."""
        self._sign(self.statement, ANY_FILE, io.BytesIO(b"trial"), Nowhere(), embed=False)

    def _sign(self, statement: Statement, kind: str, read: Any, write: Any, embed: bool = True) -> bytes:
        with toolkit().Builder(json.dumps(statement.manifest()), context=self._context) as builder:
            if not embed:
                builder.set_no_embed()
            return bytes(builder.sign(self._signer, kind, read, write))

    @cached_property
    def _context(self) -> Any:
        labels = ["c2pa.actions", LABEL]  # else they count as what others said
        return context_of(builder={"created_assertion_labels": labels}, verify={"verify_after_sign": False})

    @cached_property
    def _signer(self) -> Any:
        c2pa, who = toolkit(), self.identity
        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(who.algorithm.encode(), who.chain, who.key, None))


def check_signing(render: RenderConfig) -> Identity | None:
    """Who signs what is rendered with these settings; None where nobody shall. A few bytes are signed on trial.

    UserError, before anything slow, where it could not be signed: a package that is missing, a key that cannot be made or read,
    certificates that C2PA does not take.
    """
    if not render.credentials:
        return None
    refused = toolkit().C2paError
    identity = identity_of(render)
    try:
        Signing(identity, _TRIAL).check()
    except refused as error:
        named = render.certificate or own_file()
        raise UserError(
            f"{named} cannot sign content credentials ({error}): give a certificate for e-mail or documents that is valid today, with those "
            "of its issuers behind it, as render.certificate"
        ) from error
    return identity


@contextmanager
def signed_output(out: Path, signing: Signing | None) -> Iterator[Path]:
    """A temporary path for a video that becomes `out`, with its credentials, when the block ends well.

    A file that cannot carry them inside has them beside it (`SIDECAR`). They are there first: no signed video stands without. A
    block that raises, or is killed, leaves `out` as it was. signing: None for a video without credentials.
    """
    beside = sidecar_of(link_target(out))
    _check_sidecar(beside)
    inside = out.suffix.lower() in EMBEDDED
    with atomic_path(out, follow=True) as path:
        if signing is not None and inside:
            with draft_beside(path, out.suffix) as draft:
                yield draft
                signing.video(draft, path)
        else:
            yield path
            if signing is not None:
                _write(beside, signing.beside(path))
    if signing is None or inside:
        beside.unlink(missing_ok=True)  # of another video that was here


def sidecar_of(path: Path) -> Path:
    """Where the credentials of a file lie that cannot carry them inside."""
    return path.with_name(path.name + SIDECAR)


def _write(target: Path, data: bytes) -> None:
    with atomic_path(target) as path:
        path.write_bytes(data)


def _check_sidecar(path: Path) -> None:
    """Refuse to replace, or to remove, a file that holds no credentials."""
    if not path.exists() and not path.is_symlink():
        return
    beginning = b""
    with suppress(OSError), open(path, "rb") as stream:
        beginning = stream.read(_BEGINNING)
    if path.is_symlink() or beginning[4:] != b"jumb":
        raise UserError(
            f"{path} is in the way of a video's credentials, and holds none: move it away, or give the video another name"
        )
