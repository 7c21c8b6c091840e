"""What credentials say of a rendered file: of what it was made, and whether the person agreed. No names, no places."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..config import RenderConfig
from ..subject.layout import SubjectLayout, facts_of
from ..subject.records import Consent, Subject
from ..subject.source import content_hash, read_record

LABEL = "alt.speech2lip.rendering"  # .alt is no domain, and will be none (RFC 9476)
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_PRIVATE = (
    "output",
    "credentials",
    "signing_key",
    "certificate",
)  # settings that name places, or do not change a picture
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBERS = (bool, int, float, str)
_LONGEST_LIST = 16


@dataclass(frozen=True)
class Statement:
    """model, audio, source: SHA-256 of the files, hexadecimal (of a folder of frames: `content_hash`; audio of several files: of their
    digests); subject: of `subject.json` without
    name and consent, and of the track; start: first source frame; settings: of section `render`; consent: of the person who
    was learned, None where the subject does not say; unhashed: of `boxes`, empty where there are none."""

    model: str
    subject: str
    audio: str
    source: str
    start: int
    settings: Mapping[str, Any]
    consent: Consent | None
    unhashed: str = ""

    def manifest(self) -> dict[str, Any]:
        """What C2PA's builder is given."""
        action = {"action": "c2pa.created", "digitalSourceType": GENERATED}
        return {
            "claim_generator_info": [{"name": "Speech2Lip", "version": __version__}],
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [action]}}, {"label": LABEL, "data": {"version": 1, **asdict(self)}},
            ],
        }  # fmt: skip

    def of_boxes(self, digest: str) -> Statement:
        return replace(self, unhashed=digest)


def statement_of(
    model: Path, layout: SubjectLayout, subject: Subject, spoken: Sequence[Path], render: RenderConfig, start: int
) -> Statement:
    """The statement of a render with these files and settings; spoken: what says what is said, one file or several."""
    settings = {k: v for k, v in asdict(render).items() if k not in _PRIVATE}
    settings["pose"] = render.pose if render.pose in ("source", "hold") else "file"
    subject_hash = hashlib.sha256(facts_of(layout.subject))
    subject_hash.update(bytes.fromhex(content_hash(layout.track)))
    record = read_record(layout.source_record)
    source = record.sha256 if record is not None else content_hash(layout.source_path(subject))
    return Statement(
        content_hash(model), subject_hash.hexdigest(), _hash_of(spoken), source, start, settings, subject.consent
    )


def _hash_of(files: Sequence[Path]) -> str:
    digests = [content_hash(path) for path in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()


def statement_from(raw: Any) -> Statement | None:
    """The statement of an assertion that anybody may have written; None where it is none of this version."""
    if not isinstance(raw, Mapping) or raw.get("version") != 1:
        return None
    values = {k: v for k, v in raw.items() if k != "version"}
    if set(values) != {f.name for f in fields(Statement)}:
        return None
    digests = [values[name] for name in ("model", "subject", "audio", "source")]
    sound = all(isinstance(v, str) and _DIGEST.fullmatch(v) for v in digests) and isinstance(values["unhashed"], str)
    settings = values["settings"]
    plain = isinstance(settings, Mapping) and all(map(_is_plain, settings.values()))
    if not sound or not plain or not isinstance(values["start"], int):
        return None
    return _with_consent(values)


def _is_plain(value: Any) -> bool:
    """A number, a text, or a short list of numbers, as settings are."""
    if isinstance(value, (list, tuple)):
        return len(value) <= _LONGEST_LIST and all(isinstance(v, (int, float)) for v in value)
    return isinstance(value, _NUMBERS)


def _with_consent(values: dict[str, Any]) -> Statement | None:
    from ..arrays import Unsound
    from ..subject.schema import consent

    try:
        given = None if values["consent"] is None else Consent(**consent(values["consent"]))
    except Unsound:
        return None
    return Statement(**{**values, "consent": given})
