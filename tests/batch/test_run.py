"""Batches that are carried out."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twelve_jobs_with_a_bad_one_and_a_killed_worker(tmp_path, clip):
    """Two people who are learned, one file that is no video, nine sounds; a worker dies, and Ctrl-C comes in between."""
    for name in ("p/anna/me.mp4", "p/bob/me.mp4", "p/cem/me.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes((clip / "speaker.mp4").read_bytes() if "cem" not in name else b"no video")
    for name, count in (("anna", 5), ("bob", 4)):
        for k in range(count):
            (tmp_path / "p" / name / f"{k}.wav").write_bytes((clip / "speaker.wav").read_bytes())
    plan = (
        "people:\n"
        + "".join(f"  {n}: {{video: p/{n}/me.mp4, minutes: 0.2}}\n" for n in ("anna", "bob", "cem"))
        + "speak:\n"
    )
    plan += "".join(f"  - {{person: {n}, audio: p/{n}/*.wav, out: out/}}\n" for n in ("anna", "bob"))
    (tmp_path / "jobs.yaml").write_text(plan)
    words = [
        sys.executable,
        "-m",
        "speech2lip",
        "batch",
        str(tmp_path / "jobs.yaml"),
        f"--data={tmp_path / 'data'}",
        "--jobs=2",
    ]
    jobs = Workspace(tmp_path / "data").jobs
    first = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while not any((jobs.folder_of(job.id) / "progress.json").is_file() for job in jobs.all((RUNNING,))):
        time.sleep(0.2)
    subprocess.run(["pkill", "-9", "-f", f"speech2lip.jobs.worker {tmp_path}"], check=True)
    while not list((tmp_path / "data" / "log").glob("*/last.pt")):
        assert first.poll() is None
        time.sleep(0.5)
    first.send_signal(signal.SIGINT)
    assert first.wait(120) == 130
    again = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert again.returncode == 1 and "11 of 12 done" in again.stdout
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 9
    (bad,) = [line for line in again.stdout.splitlines() if line.startswith("learn cem") and "failed   " in line]
    assert "me.mp4" in bad
    third = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert third.returncode == 1 and "11 of 12 done" in third.stdout
