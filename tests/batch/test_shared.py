"""The folder that nodes of a cluster share, also behind a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech2lip.batch.shared import Shared
from speech2lip.errors import UserError
from speech2lip.jobs.orders import RESULT, Order


@pytest.fixture
def order(tmp_path: Path) -> Order:
    (tmp_path / "a.wav").write_bytes(b"sound")
    return Order("speak", "anna", {"audio": str(tmp_path / "a.wav"), "steady": 0.5})


def test_a_folder_is_used_as_it_is(tmp_path, order):
    shared = Shared(str(tmp_path / "data"))
    (tmp_path / "data" / "jobs" / "j").mkdir(parents=True)
    assert shared.send(order, "j") == order and not shared.finished("j")
    with shared.opened(order, "j") as (here, own):
        assert (here, own) == (tmp_path / "data", order)
        (here / "jobs" / "j" / RESULT).write_bytes(b"video")
    shared.finish("j")
    assert Shared(str(tmp_path / "data")).finished("j")
    shared.fetch("j", tmp_path / "out" / "a.mp4")
    assert (tmp_path / "out" / "a.mp4").read_bytes() == b"video"


def test_behind_a_url_a_node_has_the_persons_files_and_stores_what_it_made(tmp_path, order):
    pytest.importorskip("fsspec")
    data = tmp_path / "data"
    shared = Shared(f"file://{data}/")
    for name in ("dataset/anna/a/x", "dataset/bob/y", "log/anna/old.pt"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(name.encode())
    sent = shared.send(order, "j")
    (tmp_path / "a.wav").unlink()
    for turn in range(2):  # what was stored is fetched by the next
        with shared.opened(sent, "j") as (here, own):
            assert own.values["steady"] == 0.5 and Path(str(own.values["audio"])).read_bytes() == b"sound"
            assert (here / "dataset/anna/a/x").read_bytes() == b"dataset/anna/a/x" and not (
                here / "dataset/bob"
            ).exists()
            assert (here / "log/anna/old.pt").is_file() == (turn == 0)
            assert (here / "log/anna/model.pt").is_file() == (turn == 1)
            (here / "log/anna/old.pt").unlink(missing_ok=True)
            (here / "log/anna/model.pt").write_bytes(b"model")
            (here / "jobs/j" / RESULT).write_bytes(b"video")
        assert not here.exists() and not shared.finished("j")
    found = sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())
    assert found == [
        "dataset/anna/a/x",
        "dataset/bob/y",
        "jobs/j/inputs/audio.wav",
        f"jobs/j/{RESULT}",
        "log/anna/model.pt",
    ]
    shared.finish("j")
    assert shared.finished("j")
    shared.fetch("j", tmp_path / "out" / "a.mp4")
    assert (tmp_path / "out" / "a.mp4").read_bytes() == b"video"


def test_a_url_that_nobody_knows_is_one_sentence():
    pytest.importorskip("fsspec")
    with pytest.raises(UserError, match=r"nowhere://x cannot be used .* give a folder"):
        Shared("nowhere://x")
