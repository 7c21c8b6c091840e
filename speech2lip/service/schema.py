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


class FileState(BaseModel):
    """path: below the job's folder, with slashes; size: bytes."""

    path: str
    size: int
