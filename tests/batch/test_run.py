"""Batches that are carried out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from speech2lip.batch.plan import read_plan
from speech2lip.batch.run import Outcome, run_batch, table
from speech2lip.jobs.store import RUNNING
from speech2lip.jobs.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def test_tasks_that_fail_do_not_stop_the_others_and_the_table_says_so(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "jobs.yaml").write_text(
        "speak:\n  - {person: anna, audio: a.wav, out: a.mp4}\n  - {person: bob, audio: none.wav, out: b.mp4}\n"
    )
    told: list[Outcome] = []
    outcomes = run_batch(read_plan(tmp_path / "jobs.yaml"), tmp_path / "data", 2, told.append)
    assert [outcome.state for outcome in outcomes] == ["failed", "failed"] and len(told) == 2
    assert (
        "a.wav cannot be read as video or audio" in outcomes[0].message
        and "none.wav does not exist" in outcomes[1].message
    )
    assert table(outcomes).splitlines()[-1] == "0 of 2 done" and "Traceback" not in table(outcomes)


def test_the_command_ends_with_the_right_status(tmp_path):
    run = [sys.executable, "-m", "speech2lip", "batch"]
    missing = subprocess.run([*run, str(tmp_path / "no.yaml")], capture_output=True, text=True, cwd=ROOT)
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1
    (tmp_path / "jobs.yaml").write_text("speak: [{person: anna, audio: no.wav, out: a.mp4}]")
    failed = subprocess.run(
        [*run, str(tmp_path / "jobs.yaml"), f"--data={tmp_path}"], capture_output=True, text=True, cwd=ROOT
    )
    assert failed.returncode == 1 and "0 of 1 done" in failed.stdout


@pytest.fixture
def plan(tmp_path: Path, clip: Path) -> Path:
    """Twelve jobs: two people who are learned, one file that is no video, nine sounds."""
    for name in ("anna", "bob", "cem"):
        (tmp_path / "p" / name).mkdir(parents=True)
        (tmp_path / "p" / name / "me.mp4").write_bytes(
            (clip / "speaker.mp4").read_bytes() if name != "cem" else b"no video"
        )
    for name, count in (("anna", 5), ("bob", 4)):
        for k in range(count):
            (tmp_path / "p" / name / f"{k}.wav").write_bytes((clip / "speaker.wav").read_bytes())
    people = "".join(f"  {n}: {{video: p/{n}/me.mp4, minutes: 0.2}}\n" for n in ("anna", "bob", "cem"))
    speak = "".join(f"  - {{person: {n}, audio: p/{n}/*.wav, out: out/}}\n" for n in ("anna", "bob"))
    (tmp_path / "jobs.yaml").write_text(f"people:\n{people}speak:\n{speak}")
    return tmp_path / "jobs.yaml"


def _workers(text: str) -> list[int]:
    """Processes of ours whose command line has a text."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if text in place.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"):
                found.append(int(place.parent.name))
    return found


def _eleven_of_twelve(run: subprocess.CompletedProcess[str], out: Path) -> None:
    assert run.returncode == 1 and "11 of 12 done" in run.stdout, run.stdout
    assert len(list(out.glob("*.mp4"))) == 9
    (bad,) = [line for line in run.stdout.splitlines() if line.startswith("learn cem") and "failed   " in line]
    assert "me.mp4" in bad


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twelve_jobs_with_a_bad_one_and_a_killed_worker(tmp_path, plan):
    """A worker dies, and Ctrl-C comes in between."""
    data = tmp_path / "data"
    words = [sys.executable, "-m", "speech2lip", "batch", str(plan), f"--data={data}", "--jobs=2"]
    jobs = Workspace(data).jobs
    first = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while not any((jobs.folder_of(job.id) / "progress.json").is_file() for job in jobs.all((RUNNING,))):
        time.sleep(0.2)
    for worker in _workers(f"speech2lip.jobs.worker {tmp_path}"):
        os.kill(worker, signal.SIGKILL)
    while not list((data / "log").glob("*/last.pt")):
        assert first.poll() is None
        time.sleep(0.5)
    first.send_signal(signal.SIGINT)
    assert first.wait(120) == 130
    _eleven_of_twelve(subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True), tmp_path / "out")
    third = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert third.returncode == 1 and "11 of 12 done" in third.stdout


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster on this machine, whose head has no cores; its temporary files are the test's."""
    utils = pytest.importorskip("ray.cluster_utils")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield made
    finally:
        made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["folder", "url"])
def test_twelve_jobs_on_a_cluster_whose_node_dies(tmp_path, plan, cluster, kind):
    """Both people are learned on nodes of their own; one node is killed, and its person goes on at another."""
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    data = tmp_path / "data"
    root = str(data) if kind == "folder" else f"file://{data}"
    words = [sys.executable, "-m", "speech2lip", "batch", str(plan), f"--data={root}", f"--ray={cluster.address}"]
    run = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while len(_workers(f"speech2lip preprocess --video={tmp_path}")) < 2:
        assert run.poll() is None, run.communicate()
        time.sleep(0.5)
    cluster.remove_node(nodes[0], allow_graceful=False)
    said, _ = run.communicate()
    _eleven_of_twelve(subprocess.CompletedProcess(words, run.returncode, said), tmp_path / "out")
    assert len(list(data.glob("jobs/*/finished"))) == 11
