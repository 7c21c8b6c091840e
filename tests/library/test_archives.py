"""Export and import: the same person elsewhere, and nothing of an archive that is not sound."""

from __future__ import annotations

import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2lip.cli import main
from speech2lip.errors import UserError
from speech2lip.library import imports
from speech2lip.library.archive import MANIFEST, MOST_FILES, write_archive
from speech2lip.library.exports import export_subject
from speech2lip.library.imports import import_subject
from speech2lip.library.places import Places
from speech2lip.locks import writer_of
from speech2lip.media.images import write_image
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.layout import SubjectLayout


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _elsewhere() -> Places:
    return Places(Path("there/dataset"), Path("there/log"), Path("there/results"))


# ---------------------------------------------------------------- there and back


def test_round_trip(places, archive):
    person = import_subject(archive, _elsewhere(), "ann")
    here, there = _files(Path("dataset/anna")), _files(person.folder)
    changed = {name for name in here if here[name] != there.get(name)}
    assert changed == {"subject.json", "source.json", ".lock"} and set(there) | {".lock"} == set(here)
    assert person.layout.load_subject().name == "ann"
    assert person.layout.load_subject().consent == SubjectLayout("dataset/anna").load_subject().consent
    first, second = (load_checkpoint(path) for path in ("log/anna/model.pt", person.model))
    assert second.config.name == "ann" and second.config.data.root == "there/dataset/ann"
    assert first.metrics == second.metrics
    for (name, a), (other, b) in zip(first.model.state_dict().items(), second.model.state_dict().items(), strict=True):
        assert name == other and torch.equal(a, b)
    assert abs(person.model.stat().st_mtime - Path("log/anna/model.pt").stat().st_mtime) <= 1


def test_an_imported_model_finds_its_subject(archive):
    person = import_subject(archive, _elsewhere())
    predictor = Predictor.open(person.model)
    assert predictor.source == person.folder / "source.mp4"
    assert not list(Path("there").rglob(".speech2lip-*"))


def test_the_same_subject_gives_the_same_bytes_and_names_no_place(places, archive):
    export_subject("anna", Path("again.zip"), places)
    assert archive.read_bytes() == Path("again.zip").read_bytes()
    assert b"/home/me" not in archive.read_bytes() and os.fsencode(Path.cwd()) not in archive.read_bytes()
    with zipfile.ZipFile(archive) as content:
        names = content.namelist()
        manifest = json.loads(content.read(MANIFEST))
    assert names[:-1] == sorted(names[:-1]) and names[-1] == MANIFEST
    assert manifest["format"] == "speech2lip-subject-1" and manifest["facts"]["source"] == "holiday.mp4"


def test_archives_of_more_files_than_old_ones_could_hold(places, monkeypatch):
    """From 65,536 members on a ZIP file has further records at its end."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 100)
    export_subject("anna", Path("anna.zip"), places)
    assert b"PK\6\6" in Path("anna.zip").read_bytes()[-200:]
    assert import_subject(Path("anna.zip"), _elsewhere()).model.is_file()


def test_files_of_others_and_the_state_of_a_training_stay_here(places):
    for path in ("dataset/anna/letter.txt", "dataset/anna/images/holiday.jpg", "log/anna/last.pt"):
        Path(path).write_bytes(b"mine")
    found = export_subject("anna", Path("anna.zip"), places).files
    assert not [name for name in found if "letter" in name or "holiday.jpg" in name or "last" in name]


def test_a_folder_of_frames_travels_along(places):
    layout = SubjectLayout("dataset/anna")
    Path("frames").mkdir()
    for number in range(3):
        write_image(Path("frames") / f"{number}.png", np.full((96, 96, 3), number, np.uint8))
    layout.source_record.unlink()
    raw = json.loads(layout.subject.read_text()) | {"source": "../../frames"}
    layout.subject.write_text(json.dumps(raw))
    export_subject("anna", Path("anna.zip"), places)
    person = import_subject(Path("anna.zip"), _elsewhere())
    assert sorted(p.name for p in person.layout.source_path(person.layout.load_subject()).iterdir()) == [
        "0.png", "1.png", "2.png",
    ]  # fmt: skip


def test_export_refuses(places):
    Path("there.zip").write_bytes(b"")
    with pytest.raises(UserError, match="is there already"):
        export_subject("anna", Path("there.zip"), places)
    with pytest.raises(UserError, match=r"is no subject of this program.*anna"):
        export_subject("bob", Path("bob.zip"), places)
    with writer_of(Path("log/anna"), "speech2lip train"), pytest.raises(UserError, match="in use by speech2lip train"):
        export_subject("anna", Path("anna.zip"), places)
    Path("dataset/anna/images/00003.jpg").unlink()
    Path("dataset/anna/images/00003.jpg").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        export_subject("anna", Path("anna.zip"), places)
    Path("dataset/anna/subject.json").unlink()
    with pytest.raises(UserError, match="no preprocessed subject"):
        export_subject("anna", Path("anna.zip"), places)
    assert not [p for p in Path().glob("*.zip") if p.name != "there.zip"]


# ---------------------------------------------------------------- archives of strangers


class Forged:
    """An archive to be forged: its members, and how they are written."""

    def __init__(self, path: Path):
        with zipfile.ZipFile(path) as content:
            self.members = {name: content.read(name) for name in content.namelist()}
        self.manifest = json.loads(self.members.pop(MANIFEST))

    def put(self, name: str, content: bytes = b"x", listed: bool = True) -> None:
        import hashlib

        self.members[name] = content
        if listed:
            self.manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def write(self, path: Path, compression: int = zipfile.ZIP_STORED, each: Callable[[zipfile.ZipInfo], object] | None = None) -> Path:  # fmt: skip
        with zipfile.ZipFile(path, "w", compression) as out:
            for name, content in [*self.members.items(), (MANIFEST, json.dumps(self.manifest).encode())]:
                info = zipfile.ZipInfo(name)
                info.compress_type = compression
                if each is not None:
                    each(info)
                out.writestr(info, content)
        return path


def _forged(change: Callable[[Forged], object], **how: object) -> Callable[[Path], Path]:
    def make(archive: Path) -> Path:
        forged = Forged(archive)
        change(forged)
        return forged.write(Path("forged.zip"), **how)  # type: ignore[arg-type]

    return make


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(archive: Path) -> Path:
        Path("forged.zip").write_bytes(change(archive.read_bytes()))
        return Path("forged.zip")

    return make


def _linked(info: zipfile.ZipInfo) -> None:
    if info.filename == "subject/track.npz":
        info.external_attr = (stat.S_IFLNK | 0o777) << 16


def _device(info: zipfile.ZipInfo) -> None:
    if info.filename == "subject/track.npz":
        info.external_attr = (stat.S_IFCHR | 0o666) << 16


def _twice(archive: Path) -> Path:
    forged = Forged(archive)
    path = forged.write(Path("forged.zip"))
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as out:
        out.writestr("subject/track.npz", forged.members["subject/track.npz"])
    return path


def _overlapping(archive: Path) -> Path:
    """Every picture is the same bytes of the archive, listed many times."""
    data = bytearray(archive.read_bytes())
    end = data.rfind(b"PK\5\6")
    count, size, start = (
        struct.unpack("<H", data[end + 10 : end + 12])[0],
        *struct.unpack("<LL", data[end + 12 : end + 20]),
    )
    entry = bytes(data[start : start + 46 + struct.unpack("<H", data[start + 28 : start + 30])[0]])
    more = b"".join(entry.replace(b"model.pt", b"mod%02d.pt"[:0] + f"mo{n:03}.pt".encode()) for n in range(900))
    data[end + 12 : end + 16] = struct.pack("<L", size + len(more))
    data[end + 8 : end + 12] = struct.pack("<HH", count + 900, count + 900)
    Path("forged.zip").write_bytes(bytes(data[:end]) + more + bytes(data[end:]))
    return Path("forged.zip")


def _counted(data: bytes) -> bytes:
    """A large ZIP file's records that promise 2^40 members."""
    end = data.rfind(b"PK\5\6")
    large = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 2**40, 2**40, 2**50, 0)
    place = b"PK\6\7" + struct.pack("<LQL", 0, end, 1)
    return data[:end] + large + place + data[end:]


def _pickled(forged: Forged) -> None:
    import io
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, ("touch owned",)

    out = io.BytesIO()
    torch.save({"format": "speech2lip-2", "config": Evil()}, out, pickle_module=pickle)
    forged.put("model/model.pt", out.getvalue())


def _subject(**changed: object) -> Callable[[Forged], None]:
    def change(forged: Forged) -> None:
        raw = json.loads(forged.members["subject/subject.json"])
        forged.put("subject/subject.json", json.dumps(raw | changed).encode())

    return change


def _other_model(forged: Forged) -> None:
    raw = json.loads(forged.members["subject/subject.json"])
    forged.put("subject/subject.json", json.dumps(raw | {"fps": 30.0}).encode())


def _drop(name: str, listed: bool) -> Callable[[Forged], None]:
    def change(forged: Forged) -> None:
        del forged.members[name]
        if not listed:
            del forged.manifest["files"][name]

    return change


MALICIOUS = {
    "absolute path": (_forged(lambda f: f.put("/etc/cron.d/x")), "no plain place"),
    "parent folder": (_forged(lambda f: f.put("subject/../../x")), "no plain place"),
    "backslashes": (_forged(lambda f: f.put("subject\\..\\..\\x")), "no plain place"),
    "drive": (_forged(lambda f: f.put("C:/x")), "no file of a subject|no plain place"),
    "hidden file": (_forged(lambda f: f.put("subject/.bashrc")), "no plain place"),
    "NUL in a name": (_forged(lambda f: f.put("subject/a\0b")), "no plain place|same name|damaged|alone"),
    "too deep": (_forged(lambda f: f.put("subject/a/b/c/d.jpg")), "no plain place"),
    "folder": (_forged(lambda f: f.put("subject/empty/", b"")), "no plain place"),
    "foreign file": (_forged(lambda f: f.put("subject/images/run.sh")), "is no file of a subject"),
    "file beside": (_forged(lambda f: f.put("elsewhere/x.jpg")), "is no file of a subject"),
    "state of a training": (_forged(lambda f: f.put("model/last.pt")), "is no file of a subject"),
    "link": (_forged(lambda f: None, each=_linked), "is a link, a folder or a device"),
    "device": (_forged(lambda f: None, each=_device), "is a link, a folder or a device"),
    "bomb": (_forged(lambda f: f.put("subject/images/99999.jpg", bytes(2**24)), compression=zipfile.ZIP_DEFLATED), "is compressed"),
    "overlapping bomb": (_overlapping, "more than its own size|[Oo]verlap"),
    "names twice": (_twice, "same name"),
    "names that differ in capitals": (_forged(lambda f: f.put("subject/Track.npz")), "same name"),
    "huge count": (_bytes(_counted), "allowed are"),
    "no manifest": (_forged(lambda f: f.members.clear(), each=lambda i: setattr(i, "filename", "x")), "alone|no manifest"),
    "other version": (_forged(lambda f: f.manifest.update(format="speech2lip-subject-2")), "this program reads"),
    "manifest of a list": (_forged(lambda f: f.manifest.update(files=[1])), "lacks a name"),
    "size below zero": (_forged(lambda f: f.manifest["files"]["subject/track.npz"].update(size=-1)), "no size and checksum"),
    "other size": (_forged(lambda f: f.manifest["files"]["subject/track.npz"].update(size=5)), "the manifest says 5"),
    "checksum that is none": (_forged(lambda f: f.manifest["files"]["subject/track.npz"].update(sha256="0")), "is none"),
    "wrong checksum": (_forged(lambda f: f.manifest["files"]["subject/track.npz"].update(sha256="0" * 64)), "checksum of subject/track.npz"),
    "not listed": (_forged(lambda f: f.put("subject/images/99999.jpg", listed=False)), "is in it alone"),
    "listed alone": (_forged(_drop("subject/track.npz", True)), "is in its manifest alone"),
    "no track": (_forged(_drop("subject/track.npz", False)), "track.npz is missing"),
    "no source": (_forged(_drop("subject/source.mp4", False)), "source.mp4"),
    "no lips' mask": (_forged(_drop("subject/canonical_lip_mask.png", False)), "canonical_lip_mask.png is missing"),
    "source elsewhere": (_forged(_subject(source="/etc/passwd")), "names the source"),
    "source above": (_forged(_subject(source="../../secret.mp4")), "names the source"),
    "source in a folder": (_forged(_subject(source="images")), "names the source"),
    "unknown entry": (_forged(_subject(run="x")), "subject.json"),
    "name that is a path": (_forged(lambda f: f.manifest.update(name="../../x")), "cannot be a subject's name"),
    "name that is hidden": (_forged(lambda f: f.manifest.update(name=".ssh")), "cannot be a subject's name"),
    "model that runs": (_forged(_pickled), "more than tensors"),
    "model of another": (_forged(_other_model), "was trained with fps"),
    "model that is none": (_forged(lambda f: f.put("model/model.pt", b"none")), "model.pt"),
    "damaged content": (_bytes(lambda d: d.replace(b"a clip", b"a clap")), "CRC|checksum"),
    "cut off": (_bytes(lambda d: d[:-100]), "does not end as"),
    "empty": (_bytes(lambda d: b""), "is empty"),
    "with a comment": (_bytes(lambda d: d[:-2] + b"\2\0hi"), "does not end as"),
    "something else": (_bytes(lambda d: b"no archive" * 10), "does not end as"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MALICIOUS)
def test_an_archive_that_is_not_sound_leaves_nothing(archive, kind):
    make, said = MALICIOUS[kind]
    forged = make(archive)
    before = {str(p) for p in Path().rglob("*")}
    with pytest.raises(UserError, match=said) as caught:
        import_subject(forged, _elsewhere())
    assert "\n" not in str(caught.value) and ".speech2lip-" not in str(caught.value)
    assert {str(p) for p in Path().rglob("*")} == before
    assert main(["subjects", "import", str(forged), "--root", "there/dataset", "--log", "there/log"]) == 2


def test_a_sound_archive_that_was_put_together_again_is_taken(archive):
    """The forgeries above fail by what they change alone."""
    import_subject(_forged(lambda f: None)(archive), _elsewhere())


def test_names_that_are_taken_are_not_replaced(places, archive):
    before = _files(Path("dataset")) | _files(Path("log"))
    with pytest.raises(UserError, match=r"dataset/anna is there already"):
        import_subject(archive, places)
    Path("log/ann").mkdir()
    with pytest.raises(UserError, match=r"log/ann is there already"):
        import_subject(archive, places, "ann")
    assert _files(Path("dataset")) | _files(Path("log")) == before


@pytest.mark.parametrize("moment", ["extract", "_settle_model"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_import_leaves_nothing(archive, monkeypatch, moment, error):
    """Ctrl-C, and a disk that gets full."""
    count = []

    def stop(*_: object) -> None:
        count.append(1)
        raise error

    owner = imports if moment == "_settle_model" else imports.Archive
    monkeypatch.setattr(owner, moment, stop)
    with pytest.raises((KeyboardInterrupt, UserError)):
        import_subject(archive, _elsewhere())
    assert count and not Path("there").exists()


def test_what_a_killed_import_left_is_removed_by_the_next(archive):
    from speech2lip.files import remove_leftovers

    left = Path("there/dataset/.speech2lip-killed.unfinished")
    (left / "images").mkdir(parents=True)
    remove_leftovers.cache_clear()
    import_subject(archive, _elsewhere())
    assert not left.exists()


def test_too_many_files_are_refused(tmp_path):
    members = dict.fromkeys(map(str, range(MOST_FILES + 1)), b"")
    with pytest.raises(UserError, match="an archive holds up to"):
        write_archive(tmp_path / "a.zip", "anna", {}, members)
    assert not list(tmp_path.iterdir())
