"""The studio, listening: the service with the page in front of it."""

from __future__ import annotations

import os
import threading
import webbrowser
from pathlib import Path

from fastapi import FastAPI

from ..extras import needs
from ..jobs.workspace import Workspace
from ..service.server import listen, make_service
from ..service.users import Users


def make_studio(data: Path, most: int | None = None, trusted: bool = False) -> FastAPI:
    """The service of one folder, for this machine alone (trusted: as of `make_service`), with the page at `/`."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no request leaves the machine
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    root = data.resolve()
    os.environ.setdefault(
        "GRADIO_TEMP_DIR", str(root / "uploads" / ".page")
    )  # what a browser sends stays in the folder
    import gradio as gr

    from .page import CSS, make_page, theme

    app = make_service(Users(root, alone=True), most, trusted)
    made: FastAPI = gr.mount_gradio_app(
        app, make_page(Workspace(root)), path="/", allowed_paths=[str(root)], footer_links=[], theme=theme(), css=CSS, ssr_mode=False,
        run_history=False, enable_monitoring=False, mcp_server=False,
    )  # fmt: skip
    return made


def studio(data: Path, port: int = 7860, most: int | None = None, open_browser: bool = True, host: str = "") -> None:
    """Serve the page until Ctrl-C or SIGTERM; jobs that run then go on. host: "" for this machine alone; another address
    only where whoever reaches it may use it."""
    needs("studio", "gradio", "fastapi", "uvicorn")
    address = f"http://127.0.0.1:{port}/"
    app = make_studio(data, most, trusted=bool(host))
    if open_browser:
        threading.Timer(1.0, webbrowser.open, (address,)).start()
    print(f"studio: {address} (Ctrl-C ends it; what runs goes on)", flush=True)
    listen(app, host or "127.0.0.1", port)
