"""The service in a process of its own, and the lines of docs/service.md."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from urllib.request import urlopen

from serving import free_port, serving

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))


def test_the_service_starts_refuses_strangers_and_ends_on_sigterm(tmp_path):
    data, port = tmp_path / "data", free_port()
    with serving("serve", data, port, "--jobs=1") as process:
        assert json.load(urlopen(f"http://127.0.0.1:{port}/v1/jobs")) == []
    assert process.returncode == 0
    open_to_all = subprocess.run(
        [sys.executable, "-m", "speech2lip", "serve", f"--data={data}", "--host=0.0.0.0", f"--port={port}"], capture_output=True,
        text=True, cwd=ROOT,
    )  # fmt: skip
    assert (
        open_to_all.returncode == 2
        and "has no users yet" in open_to_all.stderr
        and "Traceback" not in open_to_all.stderr
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_lines_of_the_documentation_work(tmp_path, clip):
    text = (ROOT / "docs" / "service.md").read_text("utf-8")
    (lines,) = re.findall(r"<!-- test: curl -->\n```bash\n(.*?)```", text, re.DOTALL)
    data, port = tmp_path / "data", free_port()
    lines = lines.replace("127.0.0.1:7860", f"127.0.0.1:{port}").replace('\\"minutes\\": 30', '\\"minutes\\": 0.2')
    (tmp_path / "me.mp4").write_bytes((clip / "speaker.mp4").read_bytes())
    (tmp_path / "speech.wav").write_bytes((clip / "speaker.wav").read_bytes())
    with serving("serve", data, port, "--jobs=1"):
        run = subprocess.run(["bash", "-eu", "-c", lines], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count('"state":"done"') == 2 and "training" in run.stdout
    assert (tmp_path / "result.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_service_loses_nothing_while_many_poll_and_some_upload(tmp_path, clip):
    """50 clients that poll and 4 that upload while a person is learned and speaks; the service is killed and started again."""
    from service_client import Client

    data, port = tmp_path / "data", free_port()
    host = f"http://127.0.0.1:{port}"
    video, piece = clip / "speaker.mp4", os.urandom(2**20)
    answered, refused, sent, over = [0], [0], [0], threading.Event()

    def poll(client: Client) -> None:
        while not over.is_set():
            try:
                client.ask("GET", "/jobs")
                answered[0] += 1
            except (OSError, RuntimeError):
                refused[0] += 1
            time.sleep(0.2)

    def upload(client: Client) -> None:
        """In pieces, each begun where the service says, through whatever happens."""
        identity, size = "", 64 * len(piece)
        while not over.is_set():
            try:
                identity = identity or client.ask("POST", "/uploads", {"name": "big.mp4", "size": size})["id"]
                state = client.ask("GET", f"/uploads/{identity}")
                if state["complete"]:
                    sent[0] += 1
                    identity = ""
                    continue
                with client.open("PATCH", f"/uploads/{identity}", piece, **{"Upload-Offset": str(state["offset"])}):
                    pass
            except (OSError, RuntimeError):
                time.sleep(0.2)

    threads = [threading.Thread(target=work, args=(Client(host),)) for work in [poll] * 50 + [upload] * 4]
    with serving("serve", data, port, "--jobs=1") as first:
        client = Client(host)
        job = client.order("learn", "anna", video=client.send(video), minutes=0.3, consent=True)
        for thread in threads:
            thread.start()
        for state in client.follow(job):
            if state["progress"] is not None:
                break
        before = _memory(first.pid)
        time.sleep(10)
        grown = _memory(first.pid) - before
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    with serving("serve", data, port, "--jobs=1"):
        client.wait(job)
        state = client.ask("GET", f"/jobs/{job}")
        spoken = client.order("speak", "anna", audio=client.send(clip / "speaker.wav"))
        client.wait(spoken)
        while sent[0] < 4:  # what was begun before the kill is finished after it
            time.sleep(0.2)
        over.set()
        for thread in threads:
            thread.join()
        uploads = client.ask("GET", "/uploads")
        client.fetch(spoken, "result.mp4", tmp_path / "result.mp4")
    print(f"{answered[0]} polls answered, {refused[0]} not; {sent[0]} uploads of 64 MB; {grown:.1f} MB grown in 10 s")
    assert (tmp_path / "result.mp4").read_bytes()[4:8] == b"ftyp"
    assert (state["state"], state["tries"]) == ("done", 1)
    assert answered[0] > 500 and sent[0] >= 4 and grown < 60
    for found in uploads:
        assert found["offset"] <= found["size"]
        if found["complete"] and found["name"] == "big.mp4":
            (file,) = (data / "uploads" / found["id"]).glob("*.mp4")
            content = file.read_bytes()
            assert content == piece * (len(content) // len(piece))


def _memory(pid: int) -> float:
    """Megabytes of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]
