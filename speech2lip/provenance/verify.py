"""Credentials read back: what they say, whether the file is what was signed, and whose key signed it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import check_input
from ..subject.consent import in_words
from .boxes import credentials_in, is_mp4, unhashed
from .identity import Known, named_signer, own_signer
from .signing import ANY_FILE, SIDECAR, sidecar_of
from .statement import GENERATED, LABEL, Statement, statement_from
from .toolkit import context_of, toolkit

INTACT, UNKNOWN, ALTERED, MISSING = "intact", "unknown signer", "altered", "missing"
_UNTRUSTED = "signingCredential.untrusted"
_TRUSTED = "signingCredential.trusted"
_SIGNED = "claimSignature.validated"
_IN_WORDS = {
    "assertion.bmffHash.mismatch": "picture, sound or their index are not what was signed",
    "assertion.dataHash.mismatch": "its bytes are not those that were signed",
    "assertion.boxesHash.mismatch": "its parts are not those that were signed",
    "assertion.hashedURI.mismatch": "a statement in the credentials is not the one that was signed",
    "assertion.missing": "a statement was taken out of the credentials",
    "claimSignature.mismatch": "the signature does not fit the credentials",
    "claimSignature.missing": "the signature was taken out of the credentials",
    "signingCredential.expired": "the certificate is no longer valid, and nobody stamped the time of the signature",
    "signingCredential.invalid": "the certificate is none that may sign credentials",
}
_MOST = 64 << 20  # bytes of a file with credentials
_MARKS = (b"jumb", b"c2pa")
_SEARCHED = 4 << 20  # bytes at the beginning of a damaged file, where credentials are looked for


@dataclass(frozen=True)
class Verdict:
    """What the credentials of a file say.

    state: intact: the file is what was signed, by this computer's key or the one that was named; unknown signer: the file is what
    was signed, but anybody may have signed it; altered; missing: there are no credentials. problems: what is wrong, a phrase each;
    signer: own, named, unknown, or nothing where no signature was read; fingerprint: SHA-256 of the signer's certificate, only of
    one that is known; calls_itself: how the certificate names its holder and issuer, which nobody has checked; generator: the
    program that made the file, as it says; generated: whether it says that the file was made by a trained algorithm;
    statement: what this program says of its files, None in others'; beside: the file in which credentials lie that are not inside.
    """

    path: Path
    state: str
    problems: tuple[str, ...] = ()
    signer: str = ""
    fingerprint: str = ""
    calls_itself: str = ""
    generator: str = ""
    generated: bool = False
    statement: Statement | None = None
    beside: Path | None = None

    @property
    def good(self) -> bool:
        return self.state == INTACT


def verify(path: Path, certificate: Path | None = None) -> Verdict:
    """Read the credentials of a file, and compare the file with them.

    certificate: of another signer who is known to the caller. Nothing is asked of a network, and no list of trusted issuers is
    consulted. UserError for a file that cannot be read. Memory does not grow beyond half a gigabyte.
    """
    check_input(path, "a rendered file")
    named = named_signer(certificate) if certificate is not None else None
    beside = _beside(path)
    kind = _kind(path)
    found = _read(path, kind, None)
    if not found.missing or beside is None:
        return _judged(path, kind, found, named, None)
    return _judged(path, kind, _read(path, kind, beside), named, beside)


_MOST_DIGITS = 49  # of a certificate's number, which has 20 bytes at most (RFC 5280, 4.1.2.2)


def _kind(path: Path) -> str:
    """The library's name of a file's kind, by its beginning where that tells."""
    if is_mp4(path):
        return "video/quicktime" if path.suffix.lower() == ".mov" else "video/mp4"
    with open(path, "rb") as stream:
        if stream.read(3) == b"\xff\xd8\xff":
            return "image/jpeg"
    suffix = path.suffix.lower().removeprefix(".")
    return suffix if suffix in toolkit().Reader.get_supported_mime_types() else ANY_FILE


def _beside(path: Path) -> Path | None:
    """The file with the credentials of another, also as other programs call it."""
    names = (sidecar_of(path), sidecar_of(path.resolve()), path.with_suffix(SIDECAR))
    return next((p for p in names if p.is_file() and p != path), None)


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Found:
    """What the library says of a file. report: its own account, empty where there is none; error: why there is none."""

    report: dict[str, Any]
    error: str = ""
    missing: bool = False

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(self.report.get("manifests", {}).get(self.report.get("active_manifest"), {}))

    @property
    def serial(self) -> int:
        text = str(self.manifest.get("signature_info", {}).get("cert_serial_number", ""))
        return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else -1

    @property
    def successes(self) -> set[str]:
        """Codes of what is as it should be."""
        results = self.report.get("validation_results", {}).get("activeManifest", {})
        return {entry["code"] for entry in results.get("success", [])}

    @property
    def failures(self) -> list[str]:
        """Codes of what is not; that no trust list knows the signer is none."""
        codes = [entry["code"] for entry in self.report.get("validation_status", [])]
        return [code for code in dict.fromkeys(codes) if code != _UNTRUSTED]


def _read(path: Path, kind: str, beside: Path | None, known: Known | None = None) -> _Found:
    """known: a signer whose issuer is believed."""
    c2pa = toolkit()
    context = context_of(**({"trust": {"user_anchors": known.root.decode()}} if known is not None else {}))
    data = beside.read_bytes() if beside is not None else None
    try:
        with open(path, "rb") as stream, c2pa.Reader(kind, stream, data, context=context) as reader:
            return _Found(json.loads(reader.json()))
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported) as error:
        return _Found({}, str(error), missing=True)
    except c2pa.C2paError as error:
        return _Found({}, str(error), missing=data is None and not _has_marks(path))


def _has_marks(path: Path) -> bool:
    """Whether a file that cannot be read begins as one with credentials."""
    with open(path, "rb") as stream:
        beginning = stream.read(_SEARCHED)
    return all(mark in beginning for mark in _MARKS)


def _judged(path: Path, kind: str, found: _Found, named: Known | None, beside: Path | None) -> Verdict:
    if found.missing:
        return Verdict(path, MISSING)
    if not found.report:
        return Verdict(path, ALTERED, (f"the file is damaged or cut off ({found.error})",), beside=beside)
    manifest = found.manifest
    statement = next((statement_from(a["data"]) for a in manifest.get("assertions", []) if a["label"] == LABEL), None)
    problems = tuple(_IN_WORDS.get(code, code) for code in found.failures) + _unhashed_problems(path, statement)
    signer, known = _signer(path, kind, found, named, beside)
    if _SIGNED not in found.successes and not problems:
        problems = ("the credentials are incomplete",)
    state = ALTERED if problems else INTACT if known is not None else UNKNOWN
    return Verdict(
        path, state, problems, signer,
        known.fingerprint if known is not None else "", _names(manifest), _generator(manifest), _generated(manifest), statement, beside,
    )  # fmt: skip


def _unhashed_problems(path: Path, statement: Statement | None) -> tuple[str, ...]:
    """What C2PA does not look at in an MP4 file, and this program does in its own."""
    if statement is None or not statement.unhashed:
        return ()
    out = []
    if unhashed(path) != statement.unhashed:
        out.append("its header, or padding between its parts, is not what was signed")
    if credentials_in(path) != 1:
        out.append(f"it holds credentials {credentials_in(path)} times")
    return tuple(out)


def _signer(path: Path, kind: str, found: _Found, named: Known | None, beside: Path | None) -> tuple[str, Known | None]:
    """Whose key signed: that is known where the signature is sound, and its certificate the very one of a known signer."""
    if _SIGNED not in found.successes:
        return "", None
    for name, known in (("own", own_signer()), ("named", named)):
        if known is not None and known.serial == found.serial:
            believed = _read(path, kind, beside, known)
            if {_SIGNED, _TRUSTED} <= believed.successes and believed.serial == known.serial:
                return name, known
    return "unknown", None


def _names(manifest: dict[str, Any]) -> str:
    """How the signer's certificate calls its holder."""
    signature = manifest.get("signature_info", {})
    return ", ".join(str(signature[k]) for k in ("common_name", "issuer") if signature.get(k))


def _generator(manifest: dict[str, Any]) -> str:
    program = (manifest.get("claim_generator_info") or [{}])[0]
    return " ".join(str(program[k]) for k in ("name", "version") if program.get(k)) or str(
        manifest.get("claim_generator", "")
    )


def _generated(manifest: dict[str, Any]) -> bool:
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", [])
    ]
    return any(action.get("digitalSourceType") == GENERATED for action in actions)


# ---------------------------------------------------------------- telling


def lines_of(verdict: Verdict) -> list[str]:
    """A verdict in sentences."""
    path = verdict.path
    if verdict.state == MISSING:
        return [
            f"{path}: no content credentials",
            "nothing tells who made it, or how: they may never have been there, or may have been taken out",
        ]
    first = {
        INTACT: "its content credentials are intact: it is what was signed",
        UNKNOWN: "it is what was signed, but by a key that is not known here: whoever changed it could have signed it anew",
        ALTERED: "ALTERED: it is not what was signed",
    }[verdict.state]
    lines = [f"{path}: {first}", *(f"  {problem}" for problem in verdict.problems)]
    if verdict.beside is not None:
        lines.append(f"credentials: in {verdict.beside}")
    lines += _signed_by(verdict)
    if verdict.generator:
        lines.append(
            f"made with: {verdict.generator}" + (", a picture composed by a trained model" if verdict.generated else "")
        )
    return lines + _stated(verdict.statement)


def _signed_by(verdict: Verdict) -> list[str]:
    said = {
        "own": f"signed by: the key of this computer's user (certificate {verdict.fingerprint})",
        "named": f"signed by: the key that was named (certificate {verdict.fingerprint})",
        "unknown": f"signed by: a key that calls itself {verdict.calls_itself or 'nothing'}; --certificate FILE names one that you know",
    }
    if verdict.signer not in said:
        return []
    vouched = [] if verdict.signer == "unknown" else ["nobody else was asked whether to trust this key"]
    return [said[verdict.signer], *vouched]


def _stated(statement: Statement | None) -> list[str]:
    if statement is None:
        return []
    settings = ", ".join(f"{k}={v}" for k, v in statement.settings.items())
    return [
        f"consent of the person: {in_words(statement.consent)}",
        f"SHA-256 of the model: {statement.model}", f"SHA-256 of the speech: {statement.audio}",
        f"SHA-256 of the person's clip: {statement.source}", f"SHA-256 of the subject: {statement.subject}",
        f"rendered from source frame {statement.start} on with {settings}",
    ]  # fmt: skip


def as_json(verdict: Verdict) -> str:
    """A verdict for programs."""
    out = asdict(verdict) | {"path": str(verdict.path), "beside": str(verdict.beside) if verdict.beside else None}
    return json.dumps(out, indent=1)
