"""What the service says and hears, as JSON."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, Field

from ..jobs.store import RUNNING, Job, Jobs
from ..jobs.uploads import Upload
from ..jobs.worker import PROGRESS
from ..library.listing import ListedSubject
from ..progress import progress_in

Given = str | float | bool


class Problem(BaseModel):
    """What went wrong, in one sentence."""

    error: str


class Health(BaseModel):
    version: str
    status: Literal["ok"] = "ok"


class NewUpload(BaseModel):
    name: str = Field(max_length=500, examples=["me.mp4"])
    size: int = Field(description="bytes", examples=[1234567])


class UploadState(BaseModel):
    """A file that arrives. offset: bytes that have arrived."""

    id: str
    name: str
    size: int
    offset: int
    complete: bool

    @staticmethod
    def of(upload: Upload) -> UploadState:
        return UploadState.model_validate(upload, from_attributes=True)


class NewJob(BaseModel):
    """kind: examine, learn, train, speak or evaluate; name: of the subject; values: parameters of that kind, in which files are the
    numbers of uploads."""

    kind: str = Field(examples=["learn"])
    name: str = Field(examples=["anna"])
    values: dict[str, Given] = Field(
        default_factory=dict, examples=[{"video": "0123456789abcdef", "minutes": 30, "consent": True}]
    )


class ProgressState(BaseModel):
    """What a running job does. share: 0..1 of this step; left: seconds; both null where nobody knows."""

    title: str
    done: float
    total: float | None
    unit: str
    share: float | None
    left: float | None


class JobState(BaseModel):
    """state: queued, running, paused, done, failed or cancelled; times are seconds since the epoch; message: what went wrong."""

    id: str
    kind: str
    name: str
    values: dict[str, Given]
    state: str
    wish: str
    tries: int
    asked: float
    began: float | None
    ended: float | None
    message: str
    progress: ProgressState | None

    @staticmethod
    def of(job: Job, jobs: Jobs) -> JobState:
        found = progress_in(jobs.folder_of(job.id) / PROGRESS) if job.state == RUNNING else None
        of_this_try = found is not None and found.at >= (job.began or time.time())
        shown = ProgressState.model_validate(found, from_attributes=True) if of_this_try else None
        return JobState.model_validate({**vars(job), **vars(job.order), "progress": shown})


class SubjectState(BaseModel):
    """A person who was learned. state: ready, half-made or damaged; seconds: of the clip; used: bytes."""

    name: str
    state: str
    problem: str
    frames: int | None
    seconds: float | None
    size: tuple[int, int] | None
    consent: bool | None
    trained: bool
    steps: float | None
    used: int

    @staticmethod
    def of(found: ListedSubject) -> SubjectState:
        model = found.model if found.model is not None and not found.model.problem else None
        known = {"trained": model is not None, "steps": model.steps if model else None}
        consent = found.consent.given if found.consent else None
        return SubjectState.model_validate({**vars(found), "consent": consent, **known})


class NewConversation(BaseModel):
    """name: of the subject; sdp: a WebRTC offer with sound and pictures; start: source frame to begin on; label: text of a visible mark;
    voice: espeak-ng's name of the built-in voice, which says what is typed."""

    name: str = Field(examples=["anna"])
    sdp: str = Field(max_length=200_000)
    type: Literal["offer"] = "offer"
    start: int = Field(0, ge=0)
    label: str = Field("", max_length=60, examples=["AI-generated"])
    voice: str = Field("en-us", pattern=r"^[a-z]{2,3}(-[a-z0-9]+)*$")


class Answer(BaseModel):
    """The service's side of a conversation; fps, width and height: of its pictures."""

    id: str
    sdp: str
    type: Literal["answer"] = "answer"
    fps: float
    width: int
    height: int


class ConversationState(BaseModel):
    """connection: new, connecting, connected, failed or closed; times are seconds. latency, latency95: from a moment of the sound to its
    picture, median and 95th percentile; paused: for how long the machine could not follow; busy: share of a core's time; waiting: sound
    that waits to be said; message: what went wrong."""

    id: str
    name: str
    connection: str
    seconds: float
    frames: int
    latency: float | None
    latency95: float | None
    paused: float
    busy: float
    waiting: float
    message: str


class FileState(BaseModel):
    """path: below the job's folder, with slashes; size: bytes."""

    path: str
    size: int
