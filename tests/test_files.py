"""Writing files: full disks, what killed processes leave, and locks of folders."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from speech2lip.audio.features import save_features
from speech2lip.errors import UserError
from speech2lip.files import (
    atomic_path,
    check_writable,
    link_target,
    move_folder,
    new_folders,
    remove_leftovers,
    save_arrays,
)
from speech2lip.locks import reader_of, writer_of
from speech2lip.media.planes import Picture
from speech2lip.rendering import walk
from speech2lip.rendering.walk import Footage, pictures_in_order


@pytest.fixture(autouse=True)
def _looked_at_anew():
    remove_leftovers.cache_clear()


def _limited(code: str) -> subprocess.CompletedProcess:
    """`code` in a process whose files may not exceed 4 kB, as on a disk that gets full."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    head = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); from pathlib import Path\n"
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, env=env)


@pytest.mark.parametrize(
    "work",
    [
        "from speech2lip.files import save_arrays; save_arrays(Path('me.npz'), a=__import__('numpy').random.rand(9999))",
        "from speech2lip.media.images import write_image; write_image(Path('me.npz.png'), __import__('numpy').random.randint(0, 255, (99, 99, 3)).astype('u1'))",
        "from speech2lip.model.checkpoint import save_tensors; save_tensors(Path('me.npz'), {'a': __import__('torch').rand(9999)})",
    ],
)
def test_a_disk_that_gets_full_is_one_sentence_with_the_users_name(tmp_path, monkeypatch, work):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me.npz").write_text("old")
    guarded = (
        "from speech2lip.errors import run_guarded\ndef work():\n    "
        + work
        + "\n    return 0\nraise SystemExit(run_guarded(work))"
    )
    run = _limited(guarded)
    assert run.returncode == 2, run.stderr
    assert (
        run.stderr.startswith("error: cannot write me.npz")
        and "File too large" in run.stderr
        and run.stderr.count("\n") == 1
    )
    assert (tmp_path / "me.npz").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.mark.parametrize("there", [True, False])
def test_what_a_link_leads_to_is_written_where_that_is_asked_for(tmp_path, there):
    """A link stays one; the temporary file keeps the link's suffix, which encoders look at, and lies beside the target."""
    target, link = tmp_path / "disk" / "blob", tmp_path / "result.mp4"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link.symlink_to(target)
    check_writable(link)
    assert target.exists() == there
    with atomic_path(link, follow=True) as path:
        assert path.suffix == ".mp4" and path.parent == target.parent
        path.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    with atomic_path(link) as path:  # of a folder that somebody else made
        path.write_text("own")
    assert not link.is_symlink() and target.read_text() == "new"


def test_a_ring_of_links_is_one_sentence(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match="cannot write"):
        check_writable(tmp_path / "a")
    assert link_target(tmp_path / "plain") == tmp_path / "plain"


def test_errors_of_other_files_are_not_blamed_on_the_target(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a" / "out"):
        os.stat("/nowhere/else")
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(UserError, match=r"cannot write .*out \(No space left on device\): free space"),
        atomic_path(tmp_path / "out"),
    ):
        raise full


@pytest.mark.parametrize("name", ["x" * 255, "a." + "y" * 253])
def test_names_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    with atomic_path(tmp_path / name) as path:
        path.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*out"), atomic_path(tmp_path / "out") as path:
        path.write_text("x")
    with pytest.raises(UserError, match="cannot write /proc/none"):
        check_writable(tmp_path.__class__("/proc/none/file"))


_HELD = """
import sys, time
from pathlib import Path
from speech2lip.files import atomic_path
from speech2lip.locks import writer_of, reader_of
with {hold}(Path("."), "speech2lip train"), atomic_path(Path("target.bin")) as path:
    path.write_text("half"); print("ready", flush=True); time.sleep(60)
"""


def _holding(folder, hold):
    child = subprocess.Popen([sys.executable, "-c", _HELD.format(hold=hold)], cwd=folder, stdout=subprocess.PIPE,
                             env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert child.stdout.readline() == b"ready\n"
    return child


def test_the_second_on_a_folder_is_refused_until_the_first_is_killed(tmp_path):
    child = _holding(tmp_path, "writer_of")
    try:
        for hold in (writer_of, reader_of):
            with (
                pytest.raises(UserError, match=rf"in use by speech2lip train \(process {child.pid}\)"),
                hold(tmp_path, "x"),
            ):
                pass
    finally:
        child.kill()
        child.wait()
    with writer_of(tmp_path, "x"), reader_of(tmp_path / "nowhere", "y"):
        pass


def test_readers_share_and_keep_writers_out(tmp_path):
    refused = pytest.raises(UserError, match="evaluate")
    with reader_of(tmp_path, "render"), reader_of(tmp_path, "evaluate"), refused, writer_of(tmp_path, "preprocess"):
        pass
    with writer_of(tmp_path, "preprocess"):
        pass


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    child = _holding(tmp_path, "reader_of")
    mine = tmp_path / ".speech2lip-notes"
    try:
        save_arrays(tmp_path / "a.npz", a=np.zeros(3))
        assert len(list(tmp_path.glob(".speech2lip-*.bin"))) == 1
    finally:
        child.kill()
        child.wait()
    remove_leftovers.cache_clear()
    mine.mkdir()
    save_arrays(tmp_path / "a.npz", a=np.zeros(3))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", ".speech2lip-notes", "a.npz"]


def test_sigterm_is_one_sentence_and_leaves_nothing_temporary(tmp_path):
    work = (
        "from speech2lip.errors import run_guarded\nfrom speech2lip.files import atomic_path\nfrom pathlib import Path\nimport time\n"
        "def work():\n    with atomic_path(Path('out.mp4')):\n        print('ready', flush=True); time.sleep(60)\n    return 0\n"
        "raise SystemExit(run_guarded(work))"
    )
    child = subprocess.Popen([sys.executable, "-c", work], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.1)
    child.terminate()
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130 and said.startswith("stopped by SIGTERM") and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def _numpy_on_a_full_disk(*_, **__):
    raise OSError("320000 requested and 292800 written")


def test_numpys_error_of_a_full_disk_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "save", _numpy_on_a_full_disk)
    with pytest.raises(UserError, match=r"cannot write .*audio\.npy \(No space left on device\): free space"):
        save_features(tmp_path / "audio.npy", np.zeros((2, 3)), {})
    assert not list(tmp_path.iterdir())


def test_an_error_without_a_number_that_is_no_full_disk_stays_what_it_is(tmp_path):
    with pytest.raises(OSError, match="became shorter"), atomic_path(tmp_path / "me"):
        raise OSError("the source became shorter")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_temporary_folder_is_named_and_not_the_output(tmp_path, monkeypatch, number):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            raise OSError(number, os.strerror(number))  # what waits is written again, in vain

        tell = staticmethod(lambda: 0)
        write = staticmethod(_numpy_on_a_full_disk)

    monkeypatch.setattr(walk, "TemporaryFile", Full)
    monkeypatch.setattr(walk, "_forward_run", lambda *_: iter([Picture(np.zeros((2, 2, 3), np.uint8), None)]))
    order = pictures_in_order(Footage(tmp_path, 25.0), [np.array([3, 2, 1])])
    with pytest.raises(UserError, match=r"cannot write temporary files in .* TMPDIR"), atomic_path(tmp_path / "me.mp4"):
        next(order)


# ---------------------------------------------------------------- folders that become others


def test_new_folders_come_together_or_not_at_all(tmp_path):
    first, second = tmp_path / "a" / "new", tmp_path / "b" / "new"
    with new_folders(first, second) as (one, two):
        (one / "x").write_text("1")
        (two / "y").write_text("2")
        assert not first.exists() and not second.exists()
    assert (first / "x").read_text() == "1" and (second / "y").read_text() == "2"
    third = tmp_path / "c" / "new"
    with pytest.raises(UserError, match=r"b/new is there already"), new_folders(third, second) as (one, two):
        (one / "x").write_text("3")
    assert not third.parent.exists() and (second / "y").read_text() == "2"
    with pytest.raises(ZeroDivisionError), new_folders(third) as (one,):
        raise ZeroDivisionError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["new"]


@pytest.mark.parametrize("made", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_folder_never_takes_the_place_of_something(tmp_path, made):
    """Not of an empty folder either, which a system would replace."""
    (tmp_path / "a").mkdir()
    made(tmp_path / "b")
    with pytest.raises(UserError, match="is there already"):
        move_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").is_dir() and os.path.lexists(tmp_path / "b")


def test_the_unfinished_folder_of_a_living_process_stays(tmp_path):
    with new_folders(tmp_path / "new") as (mine,):
        killed = tmp_path / ".speech2lip-killed.unfinished"
        (killed / "images").mkdir(parents=True)
        remove_leftovers.cache_clear()
        remove_leftovers(tmp_path)
        assert mine.is_dir() and not killed.exists()
