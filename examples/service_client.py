"""A client of the service: learn a person from a video, and let them say a sound.

    speech2lip serve                                             # in another terminal
    python examples/service_client.py me.mp4 speech.wav result.mp4 --minutes 30

Python's own library is enough.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit


@contextmanager
def _whole() -> Iterator[None]:
    """An answer that breaks off is an OSError, as a connection is that breaks."""
    try:
        yield
    except HTTPException as error:
        raise ConnectionError(f"the answer broke off ({error!r}): ask again") from error


class Client:
    """Requests to a service; RuntimeError with its sentence for what it refuses, OSError where it is not there or goes away."""

    def __init__(self, host: str = "http://127.0.0.1:7860", token: str | None = None):
        self.host, self.headers = urlsplit(host), {"Authorization": f"Bearer {token}"} if token else {}

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The open reply; it is closed by whoever reads it."""
        kind = HTTPSConnection if self.host.scheme == "https" else HTTPConnection
        connection = kind(self.host.netloc)
        with _whole():
            connection.request(method, f"{self.host.path.rstrip('/')}/v1{path}", body, {**self.headers, **headers})
            reply = connection.getresponse()
            if reply.status >= 400:
                raise RuntimeError(json.loads(reply.read())["error"])
        return reply

    def ask(self, method: str, path: str, values: dict[str, Any] | None = None) -> Any:
        """The reply to a request with JSON."""
        body = None if values is None else json.dumps(values).encode()
        with _whole(), self.open(method, path, body, **{"Content-Type": "application/json"}) as reply:
            return json.load(reply)

    def send(self, file: Path) -> str:
        """Upload a file; returns its id."""
        size = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
        with open(file, "rb") as body, self.open("PUT", f"/uploads?name={quote(file.name)}", body, **size) as reply:
            return str(json.load(reply)["id"])

    def order(self, kind: str, name: str, **values: Any) -> str:
        """Order a job; returns its id."""
        return str(self.ask("POST", "/jobs", {"kind": kind, "name": name, "values": values})["id"])

    def follow(self, job: str) -> Iterator[dict[str, Any]]:
        """The job after every change, until it is over."""
        with self.open("GET", f"/jobs/{job}/events") as reply:
            for line in reply:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def wait(self, job: str) -> None:
        """Show a job's progress until it is over; RuntimeError with its sentence where it failed."""
        state: dict[str, Any] = {}
        for state in self.follow(job):
            done = state["progress"]
            share = "" if done is None or done["share"] is None else f": {done['title']} {done['share']:.0%}"
            print(f"{state['kind']} {state['name']}: {state['state']}{share}", file=sys.stderr)
        if state["state"] != "done":
            raise RuntimeError(f"{state['kind']} {state['state']}: {state['message']}")

    def fetch(self, job: str, path: str, target: Path) -> None:
        """Download a result."""
        with self.open("GET", f"/jobs/{job}/files/{quote(path)}") as reply, open(target, "wb") as out:
            shutil.copyfileobj(reply, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("video", "speech", "result"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--name", default="me")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--host", default="http://127.0.0.1:7860")
    parser.add_argument("--token")
    given = parser.parse_args()
    client = Client(given.host, given.token)
    client.wait(client.order("learn", given.name, video=client.send(given.video), minutes=given.minutes, consent=True))
    speak = client.order("speak", given.name, audio=client.send(given.speech))
    client.wait(speak)
    client.fetch(speak, "result.mp4", given.result)
    print(given.result)


if __name__ == "__main__":
    main()
