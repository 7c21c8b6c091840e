"""Files that say when somebody speaks: SubRip (.srt), WebVTT (.vtt) and tables (.csv).

Read strictly: a time that cannot be read is refused by its line. Tolerant readers take such a line for text, which would be spoken.
"""

from __future__ import annotations

import codecs
import csv
import html
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import check_input

KINDS = (".srt", ".vtt", ".csv")
MOST_BYTES = 4 * 2**20
MOST_CUES = 10_000
_LONGEST = 1e6  # seconds
_STAMP = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?"
_TIME = re.compile(_STAMP)
_TIMES = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}(?:\s.*)?")
_SECONDS = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}")
_MARKUP = re.compile(r"<[^<>]*>|\{[^{}]*\}|\[[^\[\]]*\]|[♪♫]")  # tags, positions, descriptions of sounds
_SKIPPED = ("NOTE", "STYLE", "REGION")  # blocks of WebVTT that are no cues
_COLUMNS = ("start", "end", "audio", "text")
_MARKS = (  # byte order marks; the longer first
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


@dataclass(frozen=True)
class Cue:
    """start, end: seconds of the clip; text: without markup, "" where there is none; audio: a file with what is said, whose
    beginning is at `start`; line: of the file, from 1 on."""

    start: float
    end: float
    line: int
    text: str = ""
    audio: Path | None = None


def read_cues(path: Path) -> list[Cue]:
    """Cues in the order of their times, none of which overlap.

    UserError, by line: times that cannot be read, that fall back, that end before they begin or that overlap; columns that are
    not known; more than `MOST_CUES`. Text is UTF-8, UTF-16 or UTF-32 with its mark, or else Windows-1252.
    """
    check_input(path, "times (.srt, .vtt or .csv)")
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise UserError(f"{path} is no file of times: give one that ends in {', '.join(KINDS)}")
    text = _text(path)
    cues: list[Cue] = []
    for cue in _rows(text, path) if suffix == ".csv" else _blocks(text, path, suffix == ".vtt"):
        _check(cue, cues, path)
        cues.append(cue)
    if not cues:
        raise UserError(f"{path} has no times: write a line such as {_example(suffix)}")
    return cues


def _check(cue: Cue, before: list[Cue], path: Path) -> None:
    if not cue.start < cue.end <= _LONGEST:
        raise UserError(
            f"{path}, line {cue.line}: the span ends at {cue.end:g} s and begins at {cue.start:g} s: let it end after its beginning"
        )
    if before and cue.start < before[-1].end:
        last = before[-1]
        what = "overlaps" if cue.end > last.start else "comes before"
        raise UserError(
            f"{path}, line {cue.line}: the span from {cue.start:g} to {cue.end:g} s {what} that of line {last.line}, from "
            f"{last.start:g} to {last.end:g} s: put spans one after the other"
        )
    if len(before) >= MOST_CUES:
        raise UserError(f"{path} has more than {MOST_CUES} spans (line {cue.line}): cut the file")


def _text(path: Path) -> str:
    with open(path, "rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES >> 20} MB, which no file of times has: give the right one")
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    try:
        text = data.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        if marked:
            raise UserError(f"{path} begins as {marked} and is none ({error.reason}): save it as UTF-8") from error
        text = data.decode("cp1252", "replace")
    if "\0" in text:
        raise UserError(f"{path} is no text that can be read (it holds zero bytes): save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _example(suffix: str) -> str:
    return "`start,end` and below it `4.2,7.9`" if suffix == ".csv" else "00:00:04,200 --> 00:00:07,900"


# ---------------------------------------------------------------- SubRip and WebVTT


def _blocks(text: str, path: Path, is_vtt: bool) -> Iterator[Cue]:
    for line, block in _split(text):
        if line == 1 and block[0].startswith("WEBVTT"):
            continue  # the header, also of files that are named .srt
        if line == 1 and is_vtt:
            raise UserError(f"{path} does not begin with WEBVTT: is it SubRip? Then name it .srt")
        if block[0].split(" ")[0] in _SKIPPED:
            continue
        at = next((k for k, words in enumerate(block[:2]) if "-->" in words), None)
        if at is None:
            raise UserError(f"{path}, line {line}: {_shown(block[0])} has no times: needed is {_example('')}")
        found = _TIMES.fullmatch(block[at])
        if found is None:
            raise UserError(f"{path}, line {line + at}: {_shown(block[at])} cannot be read: needed is {_example('')}")
        start, end = (_seconds(found.groups()[k : k + 4], path, line + at) for k in (0, 4))
        second = next((k for k, words in enumerate(block[at + 1 :]) if _TIMES.fullmatch(words)), None)
        if second is not None:
            raise UserError(
                f"{path}, line {line + at + 1 + second}: a span begins within another: put an empty line before it"
            )
        yield Cue(start, end, line + at, _plain(" ".join(block[at + 1 :])))


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    """Blocks of lines between empty ones, with the number of the first."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _seconds(parts: tuple[str | None, ...], path: Path, line: int) -> float:
    """Hours, minutes, seconds and digits after the point -> seconds."""
    hours, minutes, seconds, rest = parts
    if int(minutes or 0) > 59 or int(seconds or 0) > 59:
        raise UserError(f"{path}, line {line}: a time has more than 59 minutes or seconds: needed is {_example('')}")
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(f"{seconds or 0}.{rest or 0}")


def _plain(text: str) -> str:
    """Text as it is spoken: without tags, positions and descriptions of sounds, with single spaces."""
    text = html.unescape(_MARKUP.sub(" ", text))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


# ---------------------------------------------------------------- tables


def _rows(text: str, path: Path) -> Iterator[Cue]:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    columns: list[str] | None = None
    try:
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            if columns is None:
                columns = _columns(row, path)
                continue
            yield _row(
                dict(zip(columns, (field.strip() for field in row), strict=False)),
                len(row) - len(columns),
                path,
                reader.line_num,
            )
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: this cannot be read as a table ({error}): correct it"
        ) from error


def _columns(row: list[str], path: Path) -> list[str]:
    names = [field.strip().lower() for field in row]
    wrong = [name for name in names if name not in _COLUMNS]
    if wrong or not {"start", "end"} <= set(names) or len(set(names)) < len(names):
        raise UserError(
            f"{path} begins with {_shown(','.join(names))}: its first line must name the columns, start and end, and where there "
            "are such, audio and text"
        )
    return names


def _row(fields: dict[str, str], over: int, path: Path, line: int) -> Cue:
    if over > 0:
        raise UserError(
            f"{path}, line {line}: there are {over} fields more than columns: put text with commas in quotes"
        )
    start, end = (_moment(fields.get(name, ""), name, path, line) for name in ("start", "end"))
    audio = fields.get("audio", "")
    return Cue(start, end, line, _plain(fields.get("text", "")), path.parent / audio if audio else None)


def _moment(text: str, name: str, path: Path, line: int) -> float:
    """Seconds, or a time as in SubRip."""
    if _SECONDS.fullmatch(text):
        return float(text)
    if (found := _TIME.fullmatch(text)) is not None:
        return _seconds(found.groups(), path, line)
    raise UserError(f"{path}, line {line}: {name} is {_shown(text)}: needed are seconds, such as 4.2, or 00:00:04,200")


def frame_spans(cues: list[Cue], fps: float, frames: int, path: Path) -> list[tuple[int, int]]:
    """[start, end) of every cue in frames of a clip, to the nearest; UserError, by line, for cues outside it or of no frame."""
    spans = []
    for cue in cues:
        start, end = math.floor(cue.start * fps + 0.5), math.floor(cue.end * fps + 0.5)
        if end > frames + 1:
            raise UserError(
                f"{path}, line {cue.line}: the span ends at {cue.end:g} s, but the clip at {frames / fps:.3f} s: let it end there"
            )
        end = min(end, frames)
        if start >= end:
            raise UserError(
                f"{path}, line {cue.line}: the span from {cue.start:g} to {cue.end:g} s holds no frame of the clip: make it longer"
            )
        spans.append((start, end))
    return spans
