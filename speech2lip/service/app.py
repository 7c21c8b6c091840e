"""The service as an ASGI application: subjects, uploads and jobs over HTTP.

Every user has a folder, and nothing in a request leads out of it. All work is done by jobs (`speech2lip.jobs`), in
processes of their own, so that requests are short.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import __version__
from ..errors import UserError
from ..jobs.orders import KINDS, Order
from ..jobs.store import CANCEL, ENDED, PAUSE, QUEUED, UnknownJob, WrongState
from ..jobs.uploads import TooLarge, UnknownUpload, WrongOffset
from ..jobs.worker import LOG
from ..jobs.workspace import Workspace
from ..library.changes import remove_subject
from ..library.listing import list_subjects
from .access import Mine, NoAccess
from .live import Conversations, TooMany, UnknownConversation, live_routes, page_routes
from .schema import FileState, Health, JobState, NewJob, NewUpload, Problem, SubjectState, UploadState
from .users import Users

_OWN_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_FILES = ("video", "voice", "audio", "segments")  # parameters of jobs that are uploads
_HIDDEN = ("alive", "worker.txt", "progress.json")  # files of a job that are ours
_PIECE = 2**20  # bytes that are written at once
_MOST_WAITING = 50  # jobs of one user in the queue
_LOOK = 0.5  # seconds between two looks at a job that is watched
_MOST_LOG = 200_000  # bytes of the end of a log
_STATUS: dict[type[UserError], int] = {
    UnknownJob: 404,
    UnknownUpload: 404,
    WrongState: 409,
    WrongOffset: 409,
    TooLarge: 413,
}


def make_app(
    users: Users,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    own_hosts: Sequence[str] = _OWN_HOSTS,
    media: str | None = "127.0.0.1",
) -> FastAPI:
    """The application. lifespan: what runs beside it, such as the runner of jobs; own_hosts: names under which requests without a
    token are answered, so that no page of another site can speak for whoever sits at this machine; media: address that sound and
    pictures of conversations come through, None: any of this machine."""
    conversations = Conversations(media)

    @asynccontextmanager
    async def whole(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app) if lifespan is not None else nullcontext():
            try:
                yield
            finally:
                await conversations.close()

    app = FastAPI(
        title="Speech2Lip", version=__version__, lifespan=whole, openapi_url="/v1/openapi.json", docs_url="/docs", redoc_url=None,
        description="Learn a person's mouth from a video; make them say any audio.",
    )  # fmt: skip
    app.state.users, app.state.conversations = users, conversations
    app.add_exception_handler(UserError, _refused)
    if users.alone:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(own_hosts))
        app.add_middleware(_SameSite)
    app.include_router(_public)
    app.include_router(_private)
    app.include_router(live_routes)
    app.include_router(page_routes)
    return app


class _SameSite:
    """Refuses what a page of another site asks a browser to change here."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD")
        if changes and Headers(scope=scope).get("sec-fetch-site") == "cross-site":
            await JSONResponse({"error": "requests of other sites are not answered"}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    """UserError, whose message is for people, as JSON."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
    return JSONResponse({"error": str(error)}, status)


class _UnknownSubject(UserError):
    """There is no such person."""


_STATUS |= {NoAccess: 401, _UnknownSubject: 404, UnknownConversation: 404, TooMany: 409}
_public = APIRouter(prefix="/v1")
_private = APIRouter(prefix="/v1", responses={code: {"model": Problem} for code in (401, 404, 409, 413, 422)})


@_public.get("/health", summary="Whether the service answers")
def health() -> Health:
    return Health(version=__version__)


# ---------------------------------------------------------------- uploads


@_private.post("/uploads", status_code=201, summary="Announce a file")
def begin_upload(new: NewUpload, mine: Mine) -> UploadState:
    return UploadState.of(mine.uploads.begin(new.name, new.size))


@_private.put("/uploads", status_code=201, summary="Send a whole file")
async def send_file(
    name: Annotated[str, Query(max_length=500)],
    request: Request,
    mine: Mine,
    content_length: Annotated[int, Header(ge=0)],
) -> UploadState:
    """The body is the file: `curl -T me.mp4 "http://127.0.0.1:7860/v1/uploads?name=me.mp4"`. One that breaks off can be gone
    on with, as of `PATCH`, where the list of uploads says."""
    upload = await run_in_threadpool(mine.uploads.begin, name, content_length)
    return await add_to_upload(upload.id, request, mine, 0)


@_private.get("/uploads", summary="Files that have arrived or arrive")
def list_uploads(mine: Mine) -> list[UploadState]:
    return [UploadState.of(upload) for upload in mine.uploads.all()]


@_private.get("/uploads/{identity}", summary="How much of a file has arrived")
def get_upload(identity: str, mine: Mine) -> UploadState:
    return UploadState.of(mine.uploads.get(identity))


@_private.patch("/uploads/{identity}", summary="Send the next piece of a file")
async def add_to_upload(
    identity: str,
    request: Request,
    mine: Mine,
    upload_offset: Annotated[int, Header(ge=0, description="where the piece begins")],
) -> UploadState:
    """The body is the piece. What arrives before a connection breaks is kept: ask for the offset, and go on there."""
    offset, waiting = upload_offset, bytearray()

    async def write() -> None:
        nonlocal offset
        piece = bytes(waiting)
        waiting.clear()
        await run_in_threadpool(mine.uploads.add, identity, offset, piece)
        offset += len(piece)

    await run_in_threadpool(mine.uploads.add, identity, offset, b"")  # refused before anything is read
    async for part in request.stream():
        waiting += part
        if len(waiting) >= _PIECE:
            await write()
    if waiting:
        await write()
    return UploadState.of(mine.uploads.get(identity))


@_private.delete("/uploads/{identity}", status_code=204, summary="Remove a file")
def remove_upload(identity: str, mine: Mine) -> None:
    mine.uploads.remove(identity)


# ---------------------------------------------------------------- subjects


@_private.get("/subjects", summary="Everybody who was learned")
def get_subjects(mine: Mine) -> list[SubjectState]:
    return [SubjectState.of(found) for found in list_subjects(mine.places)]


@_private.get("/subjects/{name}", summary="One person")
def get_subject(name: str, mine: Mine) -> SubjectState:
    for found in list_subjects(mine.places):
        if found.name == name:
            return SubjectState.of(found)
    raise _UnknownSubject(f"there is no subject {name!r}: they are listed under /v1/subjects")


@_private.delete("/subjects/{name}", status_code=204, summary="Remove a person, with models and results")
def delete_subject(name: str, mine: Mine) -> None:
    get_subject(name, mine)
    remove_subject(name, mine.places)


# ---------------------------------------------------------------- jobs


@_private.post("/jobs", status_code=201, summary="Order a job")
def order_job(
    new: NewJob, mine: Mine, idempotency_key: Annotated[str | None, Header(max_length=200)] = None
) -> JobState:
    """The same `Idempotency-Key` again gives the same job, however often the request is repeated."""
    values = {
        name: str(mine.uploads.path(str(value))) if name in _FILES and name in KINDS.get(new.kind, {}) else value
        for name, value in new.values.items()
    }
    if len(mine.jobs.all((QUEUED,), most=_MOST_WAITING)) >= _MOST_WAITING:
        raise WrongState(f"{_MOST_WAITING} jobs are waiting, which is the most: order again when some have ended")
    return JobState.of(mine.jobs.ask(Order(new.kind, new.name, values), idempotency_key), mine.jobs)


@_private.get("/jobs", summary="Jobs, the newest first")
def list_jobs(
    mine: Mine, state: Annotated[list[str] | None, Query()] = None, name: str | None = None,
    most: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[JobState]:  # fmt: skip
    return [JobState.of(job, mine.jobs) for job in mine.jobs.all(state or (), name, most)]


@_private.get("/jobs/{identity}", summary="One job")
def get_job(identity: str, mine: Mine) -> JobState:
    return JobState.of(mine.jobs.get(identity), mine.jobs)


@_private.post("/jobs/{identity}/cancel", summary="Cancel a job")
def cancel_job(identity: str, mine: Mine) -> JobState:
    return JobState.of(mine.jobs.wish(identity, CANCEL), mine.jobs)


@_private.post("/jobs/{identity}/pause", summary="Pause a job; what it has finished is kept")
def pause_job(identity: str, mine: Mine) -> JobState:
    return JobState.of(mine.jobs.wish(identity, PAUSE), mine.jobs)


@_private.post("/jobs/{identity}/resume", summary="Go on with a job that is paused, failed or cancelled")
def resume_job(identity: str, mine: Mine) -> JobState:
    return JobState.of(mine.jobs.resume(identity), mine.jobs)


@_private.delete("/jobs/{identity}", status_code=204, summary="Remove a job and its results")
def remove_job(identity: str, mine: Mine) -> None:
    mine.jobs.forget(identity)


@_private.get("/jobs/{identity}/log", response_class=PlainTextResponse, summary="What the job printed, its end")
def get_log(identity: str, mine: Mine) -> PlainTextResponse:
    mine.jobs.get(identity)
    return PlainTextResponse(_end_of(mine.jobs.folder_of(identity) / LOG))


@_private.get("/jobs/{identity}/files", summary="Results of a job")
def list_files(identity: str, mine: Mine) -> list[FileState]:
    mine.jobs.get(identity)
    folder = mine.jobs.folder_of(identity)
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    named = ((path.relative_to(folder).as_posix(), path) for path in found)
    return [FileState(path=name, size=path.stat().st_size) for name, path in named if _is_result(name)]


@_private.get("/jobs/{identity}/files/{path:path}", response_class=FileResponse, summary="A result, or a range of it")
def get_file(identity: str, path: str, mine: Mine) -> FileResponse:
    mine.jobs.get(identity)
    folder = mine.jobs.folder_of(identity).resolve()
    file = (folder / path).resolve()
    if not file.is_relative_to(folder) or not file.is_file() or not _is_result(path):
        raise UnknownJob(f"job {identity} has no file {path!r}: its files are listed under /v1/jobs/{identity}/files")
    return FileResponse(file)


@_private.get("/jobs/{identity}/events", response_class=StreamingResponse, summary="Follow a job until it is over")
async def follow_job(identity: str, mine: Mine) -> StreamingResponse:
    """Server-sent events: each is the job as of `GET /v1/jobs/{identity}`; one follows whenever something has changed."""
    await run_in_threadpool(mine.jobs.get, identity)
    return StreamingResponse(
        _events(identity, mine), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _events(identity: str, mine: Workspace) -> AsyncIterator[str]:
    said = ""
    while True:
        job = await run_in_threadpool(lambda: mine.jobs.get(identity))
        text = (await run_in_threadpool(JobState.of, job, mine.jobs)).model_dump_json()
        if text != said:
            yield f"data: {text}\n\n"
        said = text
        if job.state in ENDED:
            return
        await asyncio.sleep(_LOOK)


def _is_result(name: str) -> bool:
    return name != LOG and name not in _HIDDEN and not any(part.startswith(".") for part in name.split("/"))


def _end_of(log: Path) -> str:
    if not log.is_file():
        return ""
    with open(log, "rb") as stream:
        stream.seek(max(0, log.stat().st_size - _MOST_LOG))
        return stream.read().decode("utf-8", "replace")


def openapi(app: FastAPI) -> dict[str, Any]:
    """The description of the service, as of /v1/openapi.json."""
    return app.openapi()
