"""benchmarks/people.py: rows, the worst, what fails, and the contact sheet."""

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from speech2lip.demo.speaker import TRAINING_SENTENCES, make_speaker
from speech2lip.media.images import read_image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
people, contact, trial = (importlib.import_module(f"benchmarks.{name}") for name in ("people", "contact", "trial"))

TINY = [
    "model.lip.width=32", "model.lip.layers=2", "model.lip.skip_after=0", "model.blend.widths=[8,8,8]", "audio.backend=mel",
    "face.max_crop=128", "train.batch=2", "train.articulate=1", "train.speech_share=0", "data.test_fraction=0.15",
    "photometric.weight=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def speakers(tmp_path_factory) -> list[Path]:
    """Two clips of one sentence, and a file that is none."""
    folder = tmp_path_factory.mktemp("people")
    for number in (0, 1):
        make_speaker(folder, TRAINING_SENTENCES[number : number + 1], 192, name=f"person {number}", progress=False)
    (folder / "broken.mp4").write_bytes(b"no video")
    return [folder / f"{name}.mp4" for name in ("person 0", "broken", "person 1")]


def _main(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["people.py", *arguments])
    return people.main()


@pytest.fixture(scope="module")
def measured(speakers, tmp_path_factory):
    """Exit status, folder and arguments of a run on all three."""
    out = tmp_path_factory.mktemp("out")
    arguments = [*map(str, speakers), "--steps", "3", *TINY, "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        return _main(patch, *arguments), out, arguments


def test_one_person_fails_and_the_others_are_measured(measured):
    status, out, _ = measured
    content = json.loads((out / "people.json").read_text(), parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    rows = content["people"]
    assert status == 1 and list(rows) == ["person 0", "broken", "person 1"]
    assert "broken.mp4" in rows["broken"]["failed"] and "failed" not in rows["person 1"]
    assert {"command", "PyTorch", "cores", "instruction sets"} <= set(content["facts"])
    assert "--steps 3" in content["facts"]["command"] and "train.steps=3" in content["settings"]
    for name in ("person 0", "person 1"):
        assert rows[name]["steps"] == 3 and rows[name]["frames"] > 50
        own = rows[name]["protocols"]["self"]
        figures = rows[name]["figures"]["self"]
        assert figures["told_apart_repasted"] == own["repasted"]["told_apart"]
        expected = own["generated"]["psnr_lip"] - own["frozen"]["psnr_lip"]
        assert figures["psnr_lip_over_frozen"] == pytest.approx(expected)
    both = [rows[f"person {k}"]["figures"]["cross"]["opening_r"] for k in (0, 1)]
    assert content["worst"]["cross"]["opening_r"] == min(both)
    assert content["median"]["cross"]["opening_r"] == pytest.approx(sum(both) / 2)


def test_tables_have_a_line_for_everybody(measured):
    text = (measured[1] / "people.md").read_text()
    for protocol in ("self", "cross"):
        lines = text[text.index(f"| {protocol} |") :].splitlines()[:7]
        assert len({line.count("|") for line in lines}) == 1
        assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
            "person 0", "broken", "person 1", "**median**", "**worst**",
        ]  # fmt: skip
        assert "failed | failed" in lines[3]
    assert "**broken failed**: " in text


def test_contact_sheet_shows_everybody(measured):
    """Strips of both, and a line for the one that failed, one below the other."""
    out = measured[1]
    strips = [read_image(p) for p in sorted(out.glob("person */log/seed0/strip.png"))]
    whole = read_image(out / "people.png")
    assert len(strips) == 2 and whole.shape[1] >= max(s.shape[1] for s in strips)
    first, last = strips
    assert np.array_equal(whole[: len(first), : first.shape[1]], first)
    assert len(whole) > len(first) + len(last) and (whole.min(2) < 100).any(1).sum() > 200


def test_what_was_measured_is_kept_until_something_changes(measured, monkeypatch, capsys):
    _, out, arguments = measured
    calls = []
    monkeypatch.setattr(
        people, "measured", lambda person: calls.append(person.label) or {"failed": "not measured again"}
    )
    assert _main(monkeypatch, *arguments) == 1 and calls == ["broken"]  # what failed is tried again
    assert capsys.readouterr().out.count("measured before, kept") == 2
    before = json.loads((out / "people.json").read_text())["people"]["person 0"]
    person = people.Person("person 0", Path(arguments[0]), tuple(before["identity"]["settings"]), out / "person 0", 0)
    made = {"frames": 1}
    assert people.kept_or(person, before, lambda: made) == before
    other = {**before, "identity": {**before["identity"], "code": "0"}}
    assert people.kept_or(person, other, lambda: made)["frames"] == 1


# ---------------------------------------------------------------- pieces


@pytest.mark.parametrize(
    "good, values, worst",
    [
        ("high", [0.9, 0.2, math.nan], 0.2), ("low", [0.3, 0.8], 0.8), ("1", [1.8, 0.5, 1.0], 0.5), ("1", [2.1, 0.5], 2.1),
        ("1", [0.0, 9.0], 0.0), ("0", [-3.0, 2.0], -3.0), ("0.5", [0.4, 0.97], 0.97),
    ],
)  # fmt: skip
def test_worst_goes_by_the_measure(good, values, worst):
    assert people.worst_of(values, good) == worst


def test_every_column_is_a_measure_and_has_a_direction():
    for column in people.COLUMNS:
        assert people.worst_of([1.0], people.BY_NAME[column.name].good) == 1.0
    assert len({c.key for c in people.COLUMNS}) == len(people.COLUMNS)
    assert math.isnan(people.median_of([math.nan])) and math.isnan(people.worst_of([], "high"))


def test_moments_are_open_mouths_of_different_openings():
    opening = np.tile(np.concatenate([np.zeros(10), np.linspace(0.02, 0.3, 20)]), 4)
    opening[25] = np.nan
    chosen = contact.open_moments(opening, 5)
    shown = opening[chosen]
    assert (
        len(chosen) == 5 and (shown > 0.03).all() and (np.diff(shown) > 0.03).all() and shown[-1] == np.nanmax(opening)
    )
    assert np.diff(sorted(chosen)).min() >= 5
    assert contact.open_moments(np.full(9, np.nan), 5) == []
    assert len(contact.open_moments(np.zeros(30), 5)) == 5  # a mouth that never opens is shown as it is
    assert len(set(contact.open_moments(np.full(6, 0.1), 5))) == 5  # too few to be apart


def test_mouths_are_shown_at_twice_the_source_s_size_real_above_generated():
    real, made = np.full((120, 120, 3), 200, np.uint8), np.full((120, 120, 3), 90, np.uint8)
    real[50:60, 50:60] = 0
    picture = contact.strip("somebody", [contact.Moment(1.5, 0.2, real, made)])
    bottom = picture[-488:, -240:]
    assert np.array_equal(bottom[:240], cv2.resize(real, (240, 240), interpolation=cv2.INTER_CUBIC))
    assert (bottom[248:] == 90).all() and (picture[:-488] < 100).any()  # title and caption


def test_arguments_are_told_apart(tmp_path, monkeypatch, capsys):
    assert people.is_setting("train.seed=1") and not people.is_setting("clips/a=b.mp4")
    monkeypatch.chdir(tmp_path)
    Path("x=1").touch()
    assert not people.is_setting("x=1")
    assert _main(monkeypatch, "train.rate=1e-3", "--steps", "1") == 2 and "names no clip" in capsys.readouterr().err
    assert _main(monkeypatch, "a/me.mp4", "b/me.mp4") == 2 and "two clips are called me" in capsys.readouterr().err
    assert _main(monkeypatch, "me.mp4", "train.nonsense=1") == 2 and "nonsense" in capsys.readouterr().err
    assert not Path("rendering_result").exists()


def test_seeds_are_rows_of_their_own():
    options = type("Options", (), {"given": ["a.mp4", "b.mp4"], "seeds": [0, 1], "steps": 5, "out": Path("out")})
    found = people.people_of(options)
    assert [p.label for p in found] == ["a, seed 0", "a, seed 1", "b, seed 0", "b, seed 1"]
    assert len({p.log for p in found}) == 4 and len({p.folder for p in found}) == 2
    assert "train.seed=1" in found[1].settings


def test_script_runs_on_its_own(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "people.py"), "none.mp4", "--steps", "1"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 1 and "none.mp4" in run.stdout and "Traceback" not in run.stderr
