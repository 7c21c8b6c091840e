"""The service, listening."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ..errors import UserError
from ..extras import needs
from ..jobs.runner import Runner
from .app import make_app
from .users import Users

_MOST_CONNECTIONS = 500
_LOOK = 0.2  # seconds between two looks at whether the server shall end
_PATIENCE = 3  # seconds in which requests that are answered may end when the service does; events never would


def users_of(data: Path, host: str) -> Users:
    """The users of a data folder. Without any, this machine alone may use it, without a token; UserError where others could."""
    users = Users(data)
    if users.names():
        return users
    if not is_loopback(host):
        raise UserError(
            f"{host} can be reached by others, and {data} has no users yet: add one first with speech2lip serve --data {data} "
            "--add-user NAME"
        )
    return Users(data, alone=True)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_service(
    users: Users, most: int | None = None, trusted: bool = False, host: str = "127.0.0.1"
) -> FastAPI:  # fmt: skip
    """The application with a runner of everybody's jobs, `most` at once (default: by the machine).

    trusted: whoever reaches it may use it, under any name, as in a container whose port is this machine's alone; host: the address
    that is listened at, which conversations use too.
    """
    media = None if trusted else _media_address(host)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with Runner(lambda: [workspace.jobs for workspace in users.workspaces()], most):
            yield

    return (
        make_app(users, lifespan, own_hosts=["*"], media=media) if trusted else make_app(users, lifespan, media=media)
    )


def _media_address(host: str) -> str | None:
    """Of conversations, for the address that is listened at; None: any of this machine."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return None if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:  # a name
        return None


def serve(data: Path, host: str = "127.0.0.1", port: int = 7860, most: int | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM; jobs that run then go on."""
    needs("service", "fastapi", "uvicorn")
    users = users_of(data, host)
    print(f"service: http://{host}:{port}/docs (Ctrl-C ends it; what runs goes on)", flush=True)
    listen(make_service(users, most, host=host), host, port)


def listen(app: FastAPI, host: str, port: int) -> None:
    """Answer requests until Ctrl-C or SIGTERM. UserError where the port is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise UserError(f"{host}:{port} cannot be listened at ({error.strerror}): give another --port") from error
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=host, port=port, log_level="warning", limit_concurrency=_MOST_CONNECTIONS, server_header=False,
            timeout_graceful_shutdown=_PATIENCE,
        )
    )  # fmt: skip
    threading.Thread(target=_end_with, args=(server,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run()


def _end_with(server: uvicorn.Server) -> None:
    """End the process when the server shall end and does not, because somebody still listens to events. Nothing is lost:
    jobs are other processes, and what is written is written whole."""
    while not server.should_exit:
        time.sleep(_LOOK)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # those who listened are cut off, which is no error
    time.sleep(_PATIENCE + 2)
    os._exit(0)
