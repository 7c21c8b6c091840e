"""What the page shows, as plain values: everything is read from the folder anew, so that a reload finds what is there."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..jobs.store import CANCELLED, DONE, FAILED, PAUSED, QUEUED, RUNNING, Job
from ..jobs.worker import PROGRESS
from ..jobs.workspace import Workspace
from ..library.listing import HALF_MADE, READY, ListedSubject, watched_subjects
from ..progress import progress_in
from ..training.record import CURVES, PREVIEW, curves_in

_SIGNS = {
    QUEUED: "waiting",
    RUNNING: "running",
    PAUSED: "paused",
    DONE: "done",
    FAILED: "failed",
    CANCELLED: "cancelled",
}
_STAGES = {  # what bars are called, in words
    "survey": "looking for faces", "landmarks": "following the face", "track": "following the head", "lips": "cutting out mouths",
    "loading": "reading the mouths", "look": "looking at the video", "articulation": "learning to hear", "speech": "learning to hear", "training": "learning to draw", "rendering": "drawing frames",
}  # fmt: skip
_MOST_POINTS = 400  # of a curve


@dataclass(frozen=True)
class Training:
    """What is known of a person's training. text: state in words; points: (step, loss); preview: a picture, or None, and
    when it was written; job: the newest one, or None."""

    text: str
    points: list[tuple[int, float]]
    preview: str | None
    written: float
    job: Job | None


@dataclass(frozen=True)
class JobRow:
    """A job in words. what: how far it is, or what went wrong."""

    id: str
    kind: str
    person: str
    state: str
    since: str
    what: str


def people(workspace: Workspace) -> list[ListedSubject]:
    """Everybody, with those first who can speak."""
    return sorted(watched_subjects(workspace.places), key=lambda found: (not can_speak(found), found.name))


def can_speak(found: ListedSubject) -> bool:
    return found.state == READY and found.model is not None and not found.model.problem


def gallery(workspace: Workspace) -> list[tuple[str, str]]:
    """(picture, caption) of everybody of whom there is a picture."""
    shown = []
    for found in people(workspace):
        picture = workspace.places.of(found.name).layout.canonical
        if picture.is_file():
            shown.append((str(picture), f"{found.name}: {state_of(found, workspace)}"))
    return shown


def state_of(found: ListedSubject, workspace: Workspace) -> str:
    """In a few words."""
    running = workspace.jobs.all((RUNNING,), found.name, 1)
    if running:
        return {"learn": "is being learned", "train": "is being trained", "speak": "is speaking"}.get(
            running[0].order.kind, "in use"
        )
    if found.state == HALF_MADE:
        return "half-made"
    if found.problem:
        return "damaged"
    return "ready to speak" if can_speak(found) else "not trained yet"


def progress_text(job: Job, workspace: Workspace) -> str:
    """How far a job is, or how it ended, in one line."""
    if job.state == FAILED:
        return job.message or f"ended with status {job.status}"
    if job.state != RUNNING:
        return ""
    found = progress_in(workspace.jobs.folder_of(job.id) / PROGRESS)
    if found is None or found.at < (job.began or 0):
        return "starting"
    stage = _STAGES.get(found.title.split(" ")[0], found.title)
    share = "" if found.share is None else f", {found.share:.0%}"
    left = "" if found.left is None else f", {duration(found.left)} left of this step"
    stopping = "; it stops as soon as what it has is saved" if job.wish else ""
    return f"{stage}{share}{left}{stopping}"


def job_rows(workspace: Workspace, most: int = 50) -> list[JobRow]:
    """The newest first."""
    return [
        JobRow(job.id, job.order.kind, job.order.name, _SIGNS[job.state], ago(job.asked), progress_text(job, workspace))
        for job in workspace.jobs.all(most=most)
    ]


def jobs_table(rows: Sequence[JobRow]) -> str:
    """As HTML."""
    if not rows:
        return "<p>Nothing was ordered yet.</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Kind", "Person", "State", "Since"))
    return f'<table class="jobs"><thead><tr>{head}</tr></thead><tbody>{"".join(map(_lines, rows))}</tbody></table>'


def _lines(row: JobRow) -> str:
    """A job in HTML: what is to be said of it stands below it, in the table's full width."""
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in (row.kind, row.person, row.state, row.since))
    said = f'<tr><td colspan="4" class="said">{html.escape(row.what)}</td></tr>' if row.what else ""
    return f"<tr>{cells}</tr>{said}"


def trained_people(workspace: Workspace) -> list[str]:
    """Names of those who are being learned, and then of everybody."""
    busy = [job.order.name for job in workspace.jobs.all((RUNNING, PAUSED)) if job.order.kind in ("learn", "train")]
    return list(dict.fromkeys([*busy, *(found.name for found in people(workspace))]))


def training(name: str, workspace: Workspace) -> Training:
    """Of one person."""
    jobs = [job for job in workspace.jobs.all(name=name) if job.order.kind in ("learn", "train")]
    job = jobs[0] if jobs else None
    folder = workspace.places.of(name).models
    preview = folder / PREVIEW
    curves = curves_in(folder / CURVES)
    points = curves.get("training/total", [])
    figures = [
        f"{title} {curves[key][-1][1]:.2f}"
        for key, title in (
            ("validation/opening_r", "correlation of the mouth's opening"),
            ("validation/psnr_lip", "PSNR of lips in dB"),
        )
        if curves.get(key)
    ]
    state = (
        "No training was ordered here." if job is None else f"**{_SIGNS[job.state]}** {progress_text(job, workspace)}"
    )
    text = "\n\n".join(part for part in (state, "On unheard speech: " + ", ".join(figures) if figures else "") if part)
    shown = preview.is_file()
    written = preview.stat().st_mtime if shown else 0.0
    return Training(text, thinned(points), str(preview) if shown else None, written, job)


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `_MOST_POINTS` of a curve, the last one among them."""
    step = max(1, -(-len(points) // _MOST_POINTS))
    return list(points[::-1][::step][::-1])


def page_of(file: Path) -> str:
    """A report of ours, shown inside the page: it may run nothing and reach nothing."""
    if not file.is_file():
        return ""
    inner = html.escape(file.read_text("utf-8"), quote=True)
    return f'<iframe title="report" sandbox style="width:100%;height:70vh;border:0;background:white" srcdoc="{inner}"></iframe>'


def log_of(identity: str, workspace: Workspace, most: int = 20_000) -> str:
    """The end of a job's log, with of each bar its last state alone."""
    from ..jobs.worker import LOG

    try:
        workspace.jobs.get(identity)
        with open(workspace.jobs.folder_of(identity) / LOG, "rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 10 * most))
            text = stream.read().decode("utf-8", "replace")
    except (OSError, UserError):
        return ""
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))[-most:]


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def ago(moment: float) -> str:
    seconds = max(time.time() - moment, 0)
    return "now" if seconds < 5 else f"{duration(seconds)} ago"
