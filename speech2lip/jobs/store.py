"""The queue: jobs in an SQLite file, which several processes may read and write at once."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from ..errors import UserError
from ..files import cannot_write
from .orders import Order, check_order

QUEUED, RUNNING, PAUSED, DONE, FAILED, CANCELLED = "queued", "running", "paused", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)
PAUSE, CANCEL = "pause", "cancel"  # what a running job can be asked
MOST_TRIES = 3  # times that a job is begun whose process died
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, name TEXT NOT NULL, given TEXT NOT NULL,
    state TEXT NOT NULL, wish TEXT NOT NULL DEFAULT '', token TEXT UNIQUE, tries INTEGER NOT NULL DEFAULT 0,
    asked REAL NOT NULL, began REAL, ended REAL, status INTEGER, message TEXT NOT NULL DEFAULT ''
)"""
_BY_ID = "SELECT * FROM jobs WHERE id = ?"
_BY_KEY = "SELECT * FROM jobs WHERE token = ?"
_NEWEST = """
SELECT * FROM jobs WHERE (?1 = '[]' OR state IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR name = ?2)
ORDER BY number DESC LIMIT ?3"""


class UnknownJob(UserError):
    """There is no such job."""


class WrongState(UserError):
    """A job is not in the state in which that could be done, or a token stands for another order."""


@dataclass(frozen=True)
class Job:
    """An order and what became of it.

    state: QUEUED, RUNNING, PAUSED, DONE, FAILED or CANCELLED; wish: PAUSE, CANCEL or "": what a running one was asked; tries: times
    that it was begun; asked, began, ended: seconds since the epoch; status: of the command that ended it;
    message: one sentence about what went wrong, or "".
    """

    id: str
    order: Order
    state: str
    wish: str
    tries: int
    asked: float
    began: float | None
    ended: float | None
    status: int | None
    message: str


class Jobs:
    """The jobs of one folder; each has a folder of its own below it. Methods are atomic, also between processes."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._connection() as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version > _VERSION:
                    raise UserError(f"{self.file} was written by a newer version of this program: update it")
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version={_VERSION}")
        except OSError as error:
            raise UserError(cannot_write(folder, error)) from error

    @property
    def file(self) -> Path:
        return self.folder / "jobs.sqlite"

    def folder_of(self, identity: str) -> Path:
        """Where a job's log, progress and results lie."""
        return self.folder / identity

    def ask(self, order: Order, token: str | None = None) -> Job:
        """Queue an order; returns its job. token: the same one again gives the job that it gave before.

        UserError for an order that cannot be carried out; WrongState for a token that stood for another order.
        """
        check_order(order)
        given = json.dumps(dict(order.values), sort_keys=True)
        with self._writing() as connection:
            if token is not None:
                found = connection.execute(_BY_KEY, (token,)).fetchone()
                if found is not None:
                    return _same(_job(found), order)
            identity = secrets.token_hex(8)
            connection.execute(
                "INSERT INTO jobs (id, kind, name, given, state, token, asked) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (identity, order.kind, order.name, given, QUEUED, token, time.time()),
            )
        self.folder_of(identity).mkdir(exist_ok=True)
        return self.get(identity)

    def get(self, identity: str) -> Job:
        """UnknownJob where there is none."""
        with self._connection() as connection:
            found = connection.execute(_BY_ID, (identity,)).fetchone()
        if found is None:
            raise UnknownJob(f"there is no job {identity!r}")
        return _job(found)

    def all(self, states: Sequence[str] = (), name: str | None = None, most: int = 1000) -> list[Job]:
        """Jobs of these states (default: all) and of this subject (default: everybody's), the newest first."""
        with self._connection() as connection:
            rows = connection.execute(_NEWEST, (json.dumps(list(states)), name, most))
            return [_job(row) for row in rows]

    def take(self) -> Job | None:
        """Begin the oldest queued job whose subject no other one is working on; None where there is none."""
        with self._writing() as connection:
            found = connection.execute(
                "SELECT id FROM jobs WHERE state = ? AND name NOT IN (SELECT name FROM jobs WHERE state = ?) ORDER BY number LIMIT 1",
                (QUEUED, RUNNING),
            ).fetchone()
            if found is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = ?, wish = '', tries = tries + 1, began = ?, ended = NULL, status = NULL, message = '' "
                "WHERE id = ?", (RUNNING, time.time(), found[0]),
            )  # fmt: skip
        return self.get(found[0])

    def settle(self, identity: str, state: str, status: int | None = None, message: str = "") -> None:
        """A running job is over, or paused."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, wish = '', status = ?, message = ?, ended = ? WHERE id = ? AND state = ?",
                (state, status, message, time.time(), identity, RUNNING),
            )

    def lost(self, identity: str) -> None:
        """A running job's process is gone: it is queued again, or given up."""
        with self._writing() as connection:
            found = connection.execute(_BY_ID, (identity,)).fetchone()
            if found is None or (job := _job(found)).state != RUNNING:
                return
            state, message = QUEUED, ""
            if job.wish:
                state = CANCELLED if job.wish == CANCEL else PAUSED
            elif job.tries >= MOST_TRIES:
                state, message = FAILED, f"its process died {job.tries} times"
            connection.execute(
                "UPDATE jobs SET state = ?, wish = '', message = ?, ended = ? WHERE id = ?",
                (state, message, time.time(), identity),
            )

    def wish(self, identity: str, wish: str) -> Job:
        """Ask that a job pauses or is cancelled. One that is queued does so at once; a running one within seconds, and keeps
        what it has finished. WrongState where it is over."""
        after = {PAUSE: PAUSED, CANCEL: CANCELLED}[wish]
        with self._writing() as connection:
            waiting = [QUEUED, PAUSED] if wish == CANCEL else [QUEUED]
            changed = connection.execute(
                "UPDATE jobs SET state = ?, ended = ? WHERE id = ? AND state IN (SELECT value FROM json_each(?))",
                (after, time.time(), identity, json.dumps(waiting)),
            ).rowcount
            changed += connection.execute(
                "UPDATE jobs SET wish = ? WHERE id = ? AND state = ?", (wish, identity, RUNNING)
            ).rowcount
        job = self.get(identity)
        if not changed and job.state != after:
            raise WrongState(f"job {identity} is {job.state}: it cannot be {after} any more")
        return job

    def resume(self, identity: str) -> Job:
        """Queue a job again that is paused, failed or cancelled; what it had finished is not done twice."""
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = ?, wish = '', tries = 0, ended = NULL, status = NULL, message = '' WHERE id = ? AND "
                "state IN (?, ?, ?)", (QUEUED, identity, PAUSED, FAILED, CANCELLED),
            ).rowcount  # fmt: skip
        job = self.get(identity)
        if not changed and job.state not in (QUEUED, RUNNING):
            raise WrongState(f"job {identity} is {job.state}: there is nothing to go on with")
        return job

    def forget(self, identity: str) -> None:
        """Remove a job that is over or waits, and its folder with the results. WrongState while it runs."""
        with self._writing() as connection:
            gone = connection.execute("DELETE FROM jobs WHERE id = ? AND state != ?", (identity, RUNNING)).rowcount
        if not gone:
            job = self.get(identity)
            raise WrongState(f"job {job.id} is {job.state}: cancel it first")
        shutil.rmtree(self.folder_of(identity), ignore_errors=True)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One for each use: they are cheap, and none is shared by threads."""
        try:
            connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
        except sqlite3.Error as error:
            raise UserError(f"{self.file} cannot be opened ({error}): give another folder") from error
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{self.file} cannot be used ({error}): move it away, jobs begin anew without it"
            ) from error
        finally:
            connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """What the block reads is what it writes upon: nobody else writes meanwhile."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _job(row: sqlite3.Row) -> Job:
    facts = dict(row)
    order = Order(facts["kind"], facts["name"], json.loads(facts["given"]))
    return Job(order=order, **{field.name: facts[field.name] for field in fields(Job) if field.name != "order"})


def _same(job: Job, order: Order) -> Job:
    if (job.order.kind, job.order.name, dict(job.order.values)) != (order.kind, order.name, dict(order.values)):
        raise WrongState(f"the key was used for job {job.id}, which is another one: give every order a key of its own")
    return job
