"""Jobs in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from speech2lip.errors import UserError
from speech2lip.jobs.orders import RESULT, Order
from speech2lip.jobs.runner import Runner
from speech2lip.jobs.store import CANCEL, CANCELLED, DONE, FAILED, PAUSE, PAUSED, QUEUED, RUNNING, Job, Jobs
from speech2lip.jobs.worker import LOG, PROGRESS, WorkedOn, carry_out, is_alive, last_words, working_in
from speech2lip.progress import REPORTED, bar, progress_in


def _until(there: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def _ended(jobs: Jobs, runner: Runner, job: Job, seconds: float = 240) -> Job:
    def over() -> bool:
        runner.look()
        return jobs.get(job.id).state not in (QUEUED, RUNNING)

    _until(over, seconds)
    return jobs.get(job.id)


def test_a_command_that_fails_ends_the_job_with_its_sentence(tmp_path):
    jobs = Jobs(tmp_path / "jobs")
    job = jobs.ask(Order("evaluate", "anna"))
    ended = _ended(jobs, Runner(lambda: [jobs], 1), job)
    assert (ended.state, ended.status) == (FAILED, 2)
    assert ended.message.startswith("log/anna/model.pt does not exist") and "Traceback" not in ended.message
    assert "$ speech2lip evaluate --name=anna" in (jobs.folder_of(job.id) / LOG).read_text()


def test_a_job_of_a_dead_process_is_begun_again_and_one_of_a_living_is_not(tmp_path, monkeypatch):
    from speech2lip.jobs import runner as module

    monkeypatch.setattr(module, "_STARTING", 0.0)
    jobs = Jobs(tmp_path / "jobs")
    job, runner = jobs.ask(Order("evaluate", "anna")), Runner(lambda: [jobs], 1)
    monkeypatch.setattr(runner, "_begin", lambda jobs, job: None)
    jobs.take()
    folder = jobs.folder_of(job.id)
    code = f"import os, time\nfrom speech2lip.locks import try_lock\nh = os.open({str(folder / 'alive')!r}, os.O_RDWR | os.O_CREAT)\n"
    other = subprocess.Popen(
        [sys.executable, "-c", code + "try_lock(h); print('locked', flush=True); time.sleep(60)"], stdout=-1
    )
    assert other.stdout is not None and other.stdout.readline()
    runner.look()
    assert is_alive(folder) and jobs.get(job.id).tries == 1
    other.kill()
    other.wait()
    runner.look()
    assert not is_alive(folder) and jobs.get(job.id).state == QUEUED


def test_what_keeps_jobs_waiting_is_said_once_and_outlived(tmp_path, monkeypatch, capsys):
    from speech2lip.jobs import runner as module

    monkeypatch.setattr(module, "_LOOK", 0.01)
    jobs, looks = Jobs(tmp_path / "jobs"), []

    def queues():
        looks.append(time.time())
        if len(looks) < 5:
            raise OSError("the disk is full") if len(looks) % 2 else UserError("the disk is full")
        return [jobs]

    job = jobs.ask(Order("evaluate", "anna"))
    with Runner(queues, 1):
        _until(lambda: jobs.get(job.id).state == FAILED)
    assert len(looks) > 5 and capsys.readouterr().err == "jobs wait: the disk is full\n"


def test_a_job_is_worked_on_until_its_command_has_ended_too(tmp_path):
    """So that it is not begun again beside a command that still saves what it has."""
    with working_in(tmp_path) as alive:
        wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        command = subprocess.Popen(wait, stdin=subprocess.PIPE, pass_fds=(alive,))
    assert is_alive(tmp_path)
    with pytest.raises(WorkedOn, match="worked on by another process"), working_in(tmp_path, 0.1):
        pass
    command.communicate()
    assert not is_alive(tmp_path)
    with working_in(tmp_path):
        assert is_alive(tmp_path)


def test_whoever_paused_a_job_may_cancel_it_while_it_stops(tmp_path):
    wishes = [PAUSE, CANCEL]
    with working_in(tmp_path) as alive:
        ended = carry_out(Order("evaluate", "anna"), tmp_path, tmp_path, alive, lambda: wishes.pop(0))
    assert ended.state == CANCELLED


def test_progress_is_written_where_it_is_asked_for(tmp_path, monkeypatch, capsys):
    file = tmp_path / PROGRESS
    assert progress_in(file) is None
    monkeypatch.setenv(REPORTED, str(file))
    meter = bar("training", 200, "step")
    meter.update(50)
    meter.refresh()
    found = progress_in(file)
    assert (found.title, found.done, found.total, found.share) == ("training", 50, 200, 0.25)
    assert abs(found.at - time.time()) < 60 and [path.name for path in tmp_path.iterdir()] == [PROGRESS]
    meter.close()
    monkeypatch.setenv(REPORTED, str(tmp_path / "nowhere" / PROGRESS))
    list(bar("other", 3, "step", range(3)))  # it goes on where nothing can be written
    file.write_text(json.dumps({"title": "x"}))
    assert progress_in(file) is None


def test_last_words_are_the_error_or_the_last_line(tmp_path):
    log = tmp_path / LOG
    assert last_words(log) == ""
    log.write_text("a\rb\nerror: me.mp4 is no video: give one\nnote: x\n")
    assert last_words(log) == "me.mp4 is no video: give one"
    log.write_text("one\n\ntraining: 3%\rtraining: 5%")
    assert last_words(log) == "training: 5%"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_person_is_learned_and_speaks_though_the_processes_are_killed(tmp_path, clip):
    jobs = Jobs(tmp_path / "jobs")
    runner = Runner(lambda: [jobs], 1)
    video = str(clip / "speaker.mp4")
    learn = jobs.ask(Order("learn", "anna", {"video": video, "minutes": 0.4, "consent": True}))
    _until(lambda: (runner.look(), progress_in(jobs.folder_of(learn.id) / PROGRESS))[1] is not None)
    runner._children[0].kill()  # the worker; its command ends with it
    _until(lambda: not is_alive(jobs.folder_of(learn.id)))
    jobs.lost(learn.id)
    _until(lambda: (runner.look(), (tmp_path / "log" / "anna").is_dir())[1], 240)
    jobs.wish(learn.id, PAUSE)
    assert _ended(jobs, runner, learn).state == PAUSED
    jobs.resume(learn.id)
    ended = _ended(jobs, runner, learn)
    assert (ended.state, ended.message) == (DONE, "") and (tmp_path / "log" / "anna" / "model.pt").is_file()
    log = (jobs.folder_of(learn.id) / LOG).read_text()
    assert "unchanged, kept" in log
    speak = jobs.ask(Order("speak", "anna", {"audio": str(clip / "speaker.wav")}))
    assert _ended(jobs, runner, speak).state == DONE
    assert (jobs.folder_of(speak.id) / RESULT).stat().st_size > 1000
    more = jobs.ask(Order("train", "anna", {"minutes": 100.0}))
    _until(lambda: (runner.look(), progress_in(jobs.folder_of(more.id) / PROGRESS))[1] is not None)
    jobs.wish(more.id, CANCEL)
    assert _ended(jobs, runner, more).state == CANCELLED


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_runner_that_is_killed_leaves_jobs_running_and_the_next_one_finds_them(tmp_path, clip):
    jobs = Jobs(tmp_path / "jobs")
    job = jobs.ask(Order("learn", "anna", {"video": str(clip / "speaker.mp4"), "minutes": 0.1}))
    code = "import sys, time\nfrom pathlib import Path\nfrom speech2lip.jobs.runner import Runner\nfrom speech2lip.jobs.store import Jobs\n"
    code += "with Runner(lambda: [Jobs(Path(sys.argv[1]))], 1): time.sleep(600)"
    first = subprocess.Popen([sys.executable, "-c", code, str(jobs.folder)])
    _until(lambda: is_alive(jobs.folder_of(job.id)))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with Runner(lambda: [jobs], 1):
        _until(lambda: jobs.get(job.id).state not in (QUEUED, RUNNING), 240)
    ended = jobs.get(job.id)
    assert (ended.state, ended.tries) == (DONE, 1)
