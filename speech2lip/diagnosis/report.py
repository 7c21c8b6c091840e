"""What the doctor says: lines for the terminal, JSON for scripts, and one self-contained HTML page."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import __version__
from ..arrays import is_json_with
from ..errors import UserError
from ..extras import needs
from ..files import atomic_path
from ..media.images import read_image
from ..preparation.offset import REACH
from ..subject.layout import SubjectLayout
from .doctor import Examined
from .examine import Diagnosis
from .finding import FATAL, OK, WARNING, Finding, longest

FORMAT = 1
PAGE, RECORD = "report.html", "findings.json"
_MOST = 4  # pictures, and times, that are shown of a finding
_OVERVIEW = 5  # pictures of the whole clip
_SIDE = 180  # pixels of a picture
_QUALITY = 82  # of its JPEG


def check_place(folder: Path) -> None:
    """Refuse, before any work, a folder in which a report would replace a file that is none of ours, and a missing
    package."""
    needs("evaluate", "jinja2")
    record = folder / RECORD
    if not is_json_with(record, {"format", "forecast", "findings"}):
        for path in (record, folder / PAGE):
            if os.path.lexists(path):
                raise UserError(f"{path} is there already and no report of the doctor: give another folder with --out")


def lines_of(diagnosis: Diagnosis) -> list[str]:
    """The whole report for the terminal: what is worse than ok, a line each, and the names of the rest."""
    told = [f for f in diagnosis.findings if f.severity != OK]
    fine = [f.name for f in diagnosis.findings if f.severity == OK]
    facts = [f"  {title}: {value}" for title, value in diagnosis.facts.items()]
    rest = [f"  ok: {', '.join(fine)}"] if fine else []
    return [diagnosis.name, *facts, *(_line(f, diagnosis.fps) for f in told), *rest, _forecast(diagnosis)]


def short_lines(diagnosis: Diagnosis) -> list[str]:
    """What preprocessing says at its end: warnings and worse, and the forecast."""
    worse = [f for f in diagnosis.findings if f.severity in (WARNING, FATAL)]
    return [*(_line(f, diagnosis.fps) for f in worse), _forecast(diagnosis)]


def _forecast(diagnosis: Diagnosis) -> str:
    return f"forecast: {diagnosis.forecast}: {diagnosis.reason}"


def _line(finding: Finding, fps: float) -> str:
    times = times_of(finding, fps)
    where = f" (at {times})" if times else ""
    return f"  {finding.severity}: {finding.name}: {finding.text}{where}." + (
        f" {finding.remedy}" if finding.remedy else ""
    )


def times_of(finding: Finding, fps: float) -> str:
    """The longest spans in seconds, such as `1.2 to 3.4, 7.0 s`; empty for the whole clip."""
    if not finding.spans:
        return ""
    shown = longest(finding.spans, _MOST)
    words = [f"{a / fps:.1f}" if b - a <= 1 else f"{a / fps:.1f} to {b / fps:.1f}" for a, b in shown]
    more = len(finding.spans) - len(shown)
    return ", ".join(words) + " s" + (f" and {more} more" if more else "")


def write_report(examined: Examined, folder: Path) -> Path:
    """Write the record and the page into a folder; returns the page's path."""
    with atomic_path(folder / RECORD) as path:
        path.write_text(json.dumps(to_json(examined.diagnosis), indent=1), encoding="utf-8")
    page = folder / PAGE
    with atomic_path(page) as path:
        path.write_text(render_page(examined), encoding="utf-8")
    return page


def to_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything but the pictures. Spans are [start, end) frames at `fps` per second."""
    findings = [asdict(f) for f in diagnosis.findings]
    return {
        "format": FORMAT,
        "version": __version__,
        "name": diagnosis.name,
        "fps": diagnosis.fps,
        "facts": diagnosis.facts,
        "offset": {"seconds": round(diagnosis.offset.frames / diagnosis.fps, 4), "clear": diagnosis.offset.clear},
        "forecast": diagnosis.forecast,
        "reason": diagnosis.reason,
        "findings": findings,
    }


def render_page(examined: Examined) -> str:
    """The HTML page: no other file and no network is needed to read it."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    diagnosis, layout = examined.diagnosis, examined.layout
    environment = Environment(
        loader=PackageLoader("speech2lip.diagnosis", "."),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        diagnosis=diagnosis,
        overview=_overview(layout, diagnosis.fps),
        told=[_entry(f, layout, diagnosis.fps) for f in diagnosis.findings if f.severity != OK],
        fine=[f for f in diagnosis.findings if f.severity == OK],
        bars=_bars(diagnosis),
    )


def _bars(diagnosis: Diagnosis) -> list[dict[str, float]]:
    """The scores of all lags as bars of a picture 100 units high: lag in frames and milliseconds, top, height."""
    curve = diagnosis.offset.curve.clip(0)
    heights = 90 * curve / max(float(curve.max()), 1e-9)
    return [
        {"lag": k - REACH, "ms": 1000 * (k - REACH) / diagnosis.fps, "top": 100 - h, "height": h}
        for k, h in enumerate(heights)
    ]


def _entry(finding: Finding, layout: SubjectLayout, fps: float) -> dict[str, Any]:
    middles = [(start + end) // 2 for start, end in longest(finding.spans, _MOST)]
    sheet = layout.sheet if finding.name.startswith("people_") and layout.sheet.is_file() else None
    return {
        "sheet": None if sheet is None else _uri(read_image(sheet)),
        "finding": finding,
        "times": times_of(finding, fps),
        "pictures": _pictures(layout, middles, fps),
    }


def _overview(layout: SubjectLayout, fps: float) -> list[tuple[str, str]]:
    seen = np.flatnonzero(layout.load_landmarks().seen)
    return _pictures(layout, [int(seen[k]) for k in np.linspace(0, len(seen) - 1, _OVERVIEW).astype(int)], fps)


def _pictures(layout: SubjectLayout, frames: list[int], fps: float) -> list[tuple[str, str]]:
    """(caption, data URI) of the stored squares of frames."""
    out = []
    for frame in frames:
        image = read_image(layout.face_image(frame))
        small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        out.append((f"{frame / fps:.2f} s, frame {frame}", _uri(small)))
    return out


def _uri(image: np.ndarray) -> str:
    """A picture [H, W, 3] as a data URI."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
