"""Anybody's file: every row of the table through the command line, in this process."""

from __future__ import annotations

import re
import shutil
import signal
import warnings
from pathlib import Path

import pytest
from input_table import ROWS, Place, Row

from speech2lip.cli import main

LONGEST = 60  # seconds for a row that takes a fraction of one


def _marked(row: Row) -> object:
    marks = [pytest.mark.slow] if row.slow else []
    return pytest.param(row, id=re.sub(r"[^\w .:,=+-]", "_", row.name)[:60], marks=marks)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path / "home"))

    def subject() -> Path:
        config = request.getfixturevalue("subject_config")
        if not (tmp_path / "subject").exists():
            shutil.copytree(config.data.root, tmp_path / "subject")
        return tmp_path / "subject"

    def clip() -> Path:
        return request.getfixturevalue("clip") / "speaker.mp4"

    return Place(tmp_path, subject, lambda: request.getfixturevalue("model_path"), clip)


@pytest.mark.parametrize("row", [_marked(row) for row in ROWS])
def test_every_input_ends_as_its_row_says(row: Row, place: Place, capfd) -> None:
    arguments = [str(a) for a in row.made(place)]
    capfd.readouterr()
    with _Patience(600 if row.slow else LONGEST):
        status = _status(arguments)
    error = capfd.readouterr().err
    sentences = [line for line in error.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in error
    if row.said:
        assert status == 2 and len(sentences) == 1, (status, error[-500:])
        assert re.search(row.said, sentences[0]), sentences[0]
        assert "\x1b" not in sentences[0] and "\r" not in sentences[0]
    else:
        assert status == 0 and not sentences, error[-500:]
        assert row.holds is not None and row.holds(place)
    assert not list(place.folder.rglob("owned")), "something in the input was run"


def _status(arguments: list[str]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return main(arguments)
        except SystemExit as end:
            return int(end.code or 0)


class _Patience:
    """A row that hangs is a failure."""

    def __init__(self, seconds: int):
        self._seconds = seconds

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._late)
        signal.alarm(self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)

    @staticmethod
    def _late(*_: object) -> None:
        raise TimeoutError("the command did not end")


def test_table_has_a_hundred_rows_with_names_of_their_own() -> None:
    names = [row.name for row in ROWS]
    assert len(ROWS) >= 100 and len(set(names)) == len(names)
    assert all(bool(row.said) != (row.holds is not None) for row in ROWS)
    assert sum(not row.slow for row in ROWS) >= len(ROWS) // 2
