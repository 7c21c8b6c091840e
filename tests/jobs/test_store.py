"""The queue of jobs."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from speech2lip.errors import UserError
from speech2lip.jobs import store
from speech2lip.jobs.orders import KINDS, RESULT, Order, check_order, commands
from speech2lip.jobs.store import CANCEL, CANCELLED, DONE, FAILED, PAUSE, PAUSED, QUEUED, RUNNING, Jobs


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "jobs")


def _order(name: str = "anna", kind: str = "evaluate") -> Order:
    return Order(kind, name)


def test_jobs_are_taken_in_the_order_in_which_they_were_asked_for(jobs):
    asked = [jobs.ask(_order(name)) for name in ("anna", "bob", "cem")]
    assert [job.state for job in jobs.all()] == [QUEUED] * 3
    assert [jobs.take().id for _ in asked] == [job.id for job in asked]
    assert jobs.take() is None
    assert {job.state for job in jobs.all()} == {RUNNING} and all(job.began >= job.asked for job in jobs.all())


def test_a_subject_is_worked_on_by_one_job_at_a_time(jobs):
    first, second, other = jobs.ask(_order()), jobs.ask(_order()), jobs.ask(_order("bob"))
    assert jobs.take().id == first.id and jobs.take().id == other.id and jobs.take() is None
    jobs.settle(first.id, DONE, 0)
    assert jobs.take().id == second.id


def test_many_who_take_at_once_never_get_the_same_job(jobs):
    asked = {jobs.ask(_order(f"p{k}")).id for k in range(40)}
    with ThreadPoolExecutor(8) as pool:
        taken = [job.id for job in pool.map(lambda _: jobs.take(), range(50)) if job is not None]
    assert len(taken) == 40 and set(taken) == asked


def test_what_was_written_is_there_for_the_next_process(jobs):
    job = jobs.ask(Order("train", "anna", {"minutes": 3.0, "preset": "fast"}))
    jobs.take()
    jobs.settle(job.id, FAILED, 2, "no such thing")
    again = Jobs(jobs.folder).get(job.id)
    assert (again.state, again.status, again.message, again.tries) == (FAILED, 2, "no such thing", 1)
    assert again.order == job.order and again.ended >= again.began


def test_the_same_token_gives_the_same_job_and_never_another_order(jobs):
    job = jobs.ask(_order(), token="a")
    assert jobs.ask(_order(), token="a").id == job.id != jobs.ask(_order(), token="b").id
    with pytest.raises(UserError, match=r"the key was used for job .* another one"):
        jobs.ask(_order("bob"), token="a")
    assert len(jobs.all()) == 2


def test_waiting_jobs_are_cancelled_and_paused_at_once_and_running_ones_are_asked(jobs):
    waits, runs = jobs.ask(_order("anna")), jobs.ask(_order("bob"))
    assert jobs.wish(waits.id, PAUSE).state == PAUSED and jobs.take().id == runs.id
    assert jobs.resume(waits.id).state == QUEUED and jobs.wish(waits.id, CANCEL).state == CANCELLED
    asked = jobs.wish(runs.id, PAUSE)
    assert (asked.state, asked.wish) == (RUNNING, PAUSE)
    jobs.settle(runs.id, PAUSED, 130)
    assert jobs.get(runs.id).wish == "" and jobs.resume(runs.id).state == QUEUED


def test_what_is_over_is_neither_cancelled_nor_resumed(jobs):
    job = jobs.ask(_order())
    jobs.take()
    jobs.settle(job.id, DONE, 0)
    with pytest.raises(UserError, match=r"is done: it cannot be cancelled any more"):
        jobs.wish(job.id, CANCEL)
    with pytest.raises(UserError, match=r"is done: there is nothing to go on with"):
        jobs.resume(job.id)


def test_a_job_whose_process_dies_is_queued_again_but_not_for_ever(jobs):
    job = jobs.ask(_order())
    for _ in range(store.MOST_TRIES - 1):
        assert jobs.take().id == job.id
        jobs.lost(job.id)
        assert jobs.get(job.id).state == QUEUED
    jobs.take()
    jobs.lost(job.id)
    assert (jobs.get(job.id).state, jobs.get(job.id).message) == (FAILED, "its process died 3 times")
    jobs.lost(job.id)
    assert jobs.get(job.id).state == FAILED


def test_a_job_that_was_asked_to_stop_and_died_is_not_begun_again(jobs):
    job = jobs.ask(_order())
    jobs.take()
    jobs.wish(job.id, CANCEL)
    jobs.lost(job.id)
    assert jobs.get(job.id).state == CANCELLED


def test_a_job_is_forgotten_with_its_folder_but_not_while_it_runs(jobs):
    job = jobs.ask(_order())
    (jobs.folder_of(job.id) / "result.mp4").write_bytes(b"x")
    jobs.take()
    with pytest.raises(UserError, match="is running: cancel it first"):
        jobs.forget(job.id)
    jobs.settle(job.id, DONE, 0)
    jobs.forget(job.id)
    assert not jobs.folder_of(job.id).exists() and jobs.all() == []
    with pytest.raises(UserError, match="there is no job"):
        jobs.forget(job.id)


def test_lists_are_of_states_and_names(jobs):
    for name in ("anna", "bob", "anna"):
        jobs.ask(_order(name))
    jobs.take()
    assert [job.order.name for job in jobs.all((QUEUED,))] == ["anna", "bob"]
    assert len(jobs.all((QUEUED, RUNNING), "anna")) == 2 and len(jobs.all(most=1)) == 1


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Order("dance", "anna"), "there is no kind of job 'dance'"),
        (Order("evaluate", "../bob"), "cannot be a subject's name"),
        (Order("evaluate", "-rf"), "cannot be a subject's name"),
        (Order("evaluate", ""), "cannot be a subject's name"),
        (Order("train", "anna"), "a job 'train' needs minutes"),
        (Order("train", "anna", {"minutes": float("nan")}), "no number between"),
        (Order("train", "anna", {"minutes": True}), "no number between"),
        (Order("train", "anna", {"minutes": "3"}), "no number between"),
        (Order("train", "anna", {"minutes": 3.0, "preset": "/etc/passwd"}), "none of fast, tiny, faithful"),
        (Order("train", "anna", {"minutes": 3.0, "rate": 3.0}), "has no parameter 'rate'"),
        (Order("speak", "anna"), "needs audio, or segments"),
        (Order("speak", "anna", {"audio": "relative.wav"}), "no absolute path"),
        (Order("speak", "anna", {"audio": "/nowhere/a.wav"}), "does not exist"),
        (Order("speak", "anna", {"label": "a\nb"}), "printable"),
        (Order("learn", "anna", {"minutes": 3.0}), "needs video"),
        (Order("learn", "anna", {"consent": "yes"}), "neither true nor false"),
    ],
)
def test_orders_that_cannot_be_carried_out_are_refused_and_leave_nothing(jobs, order, said):
    with pytest.raises(UserError, match=said):
        jobs.ask(order)
    assert jobs.all() == [] and [path.name for path in jobs.folder.iterdir() if path.is_dir()] == []


def test_commands_are_those_that_a_person_would_type(tmp_path):
    video, audio = tmp_path / "-me.mp4", tmp_path / "a.wav"
    for path in (video, audio):
        path.write_bytes(b"x")
    learn = Order(
        "learn", "anna", {"video": str(video), "minutes": 30.0, "face": "2", "consent": True, "anyway": False}
    )
    check_order(learn)
    assert commands(learn, tmp_path) == [
        ["preprocess", f"--video={video}", "--name=anna", "--i-have-consent", "--face=2"],
        ["train", "--name=anna", "train.minutes=30"],
    ]
    speak = Order("speak", "anna", {"audio": str(audio), "steady": 0.5, "keep_length": True, "start": 7.0})
    check_order(speak)
    assert commands(speak, tmp_path) == [
        [
            "render",
            "--name=anna",
            f"--out={tmp_path / RESULT}",
            f"--audio={audio}",
            "--start=7",
            "--steady=0.5",
            "--keep-length",
        ]
    ]


def test_every_command_of_every_kind_is_understood(tmp_path):
    from speech2lip.cli.commands import COMMANDS, parser_of

    file = tmp_path / "x.wav"
    file.write_bytes(b"x")
    samples = {
        "minutes": 3.0,
        "preset": "fast",
        "silence": "close",
        "pose": "hold",
        "face": "1",
        "label": "made",
        "start": 3.0,
    }
    samples |= dict.fromkeys(("video", "voice", "audio", "segments"), str(file))
    samples |= {"articulation": 1.2, "steady": 0.5, "keep_length": True, "consent": True, "anyway": True}
    for kind, parameters in KINDS.items():
        order = Order(kind, "anna", {name: samples[name] for name in parameters})
        check_order(order)
        for command, *arguments in commands(order, tmp_path):
            parser_of(command, COMMANDS[command]).parse_intermixed_args(arguments)


def test_a_file_that_is_no_queue_is_one_sentence(tmp_path):
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match=r"jobs\.sqlite cannot be used"):
        Jobs(tmp_path)
    other = tmp_path / "newer"
    Jobs(other)
    with sqlite3.connect(other / "jobs.sqlite") as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="newer version"):
        Jobs(other)
