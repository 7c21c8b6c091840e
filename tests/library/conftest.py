"""A tiny subject with a model, as `preprocess` and `train` leave them below dataset and log."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from speech2lip.library.places import Places
from speech2lip.model.checkpoint import relabelled
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import Consent
from speech2lip.subject.source import SourceRecord, content_hash, stamp, write_record
from tests.fuzz import seeds


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders dataset and log with the subject anna."""
    root = tmp_path_factory.mktemp("anna")
    made = seeds.make_subject(root / "made")
    model = seeds.make_model(root / "made", made)
    (root / "dataset").mkdir()
    (root / "log" / "anna").mkdir(parents=True)
    layout = SubjectLayout(made.root.rename(root / "dataset" / "anna"))
    source = layout.root / "source.mp4"
    source.write_bytes(b"a clip" * 100)
    layout.save_subject(replace(layout.load_subject(), name="anna", consent=Consent(True, "2026-01-02", "terminal")))
    write_record(
        layout.source_record,
        SourceRecord("/home/me/holiday.mp4", "source.mp4", content_hash(source), stamp(source), stamp(source)),
    )
    layout.stages.write_text("{}")
    (root / "log" / "anna" / "model.pt").write_bytes(relabelled(model, {"name": "anna", "data.root": "dataset/anna"}))
    return root


@pytest.fixture
def places(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A copy to work on, in the current folder."""
    for name in ("dataset", "log"):
        shutil.copytree(_made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return Places()


@pytest.fixture
def archive(places: Places) -> Path:
    """An export of anna."""
    from speech2lip.library.exports import export_subject

    export_subject("anna", Path("anna.zip"), places)
    return Path("anna.zip")
