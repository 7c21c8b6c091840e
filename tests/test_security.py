"""Nobody gets in: what the package never calls, and what hostile names, files and folders cannot do."""

import ast
import contextlib
import io
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from speech2lip.cli import main
from speech2lip.errors import UserError, run_guarded
from speech2lip.files import atomic_path
from speech2lip.importing.config import import_config
from speech2lip.importing.dataset import import_dataset
from speech2lip.terminal import printable, safe_streams

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "speech2lip").rglob("*.py"), ROOT / "train.py", ROOT / "inference.py"])

# ---------------------------------------------------------------- what is never called

FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "dill.load", "joblib.load", "yaml.load",
    "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp", "urllib.request.urlopen", "urlopen",
    "urllib.request.urlretrieve", "requests.get", "tarfile.open", "shutil.unpack_archive", "torch.hub.load", "pd.read_pickle",
}  # fmt: skip
NEEDED = {"np.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}
ONLY_IN = {  # calls with one place each, where they are guarded
    "pickle.Unpickler": {"weights/safeload.py"}, "urllib.request.build_opener": {"weights/fetch.py"},
    "zipfile.ZipFile": {"weights/fetch.py", "weights/safeload.py", "arrays.py", "library/archive.py"},  # of bounded sizes
}  # fmt: skip
# Processes that live as long as a stream of frames or sound; they end when their pipe does. Others have a time limit.
STREAMS = re.compile(r"speech2lip/media/")
WATCHED = {
    "speech2lip/jobs/runner.py",
    "speech2lip/jobs/worker.py",
}  # programs of ours, of any length, which are looked at
UNLIMITED = {"speech2lip/rendering/files.py"}  # joins two videos of any length


def _calls(source: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name of what is called."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def _constant(call: ast.Call, name: str) -> object:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else keyword.value
    return None


def violations(source: str, place: str) -> list[str]:
    """What a module calls that it must not, as sentences."""
    out = []
    for name, call in _calls(source):
        short = place.removeprefix("speech2lip/")
        if name in FORBIDDEN or name.endswith(".extractall") or (name in ONLY_IN and short not in ONLY_IN[name]):
            out.append(f"{place}:{call.lineno}: {name}")
        if name in NEEDED and _constant(call, NEEDED[name][0]) is not NEEDED[name][1]:
            out.append(f"{place}:{call.lineno}: {name} without {NEEDED[name][0]}={NEEDED[name][1]}")
        if _constant(call, "shell") not in (None, False) or _constant(call, "trust_remote_code") not in (None, False):
            out.append(f"{place}:{call.lineno}: {name} runs text")
        if name.endswith("Popen") and not STREAMS.match(place) and place not in WATCHED:
            out.append(f"{place}:{call.lineno}: {name} outside media")
        if name in ("subprocess.run", "subprocess.check_output", "subprocess.call", "subprocess.check_call"):
            limited = _constant(call, "timeout") is not None or STREAMS.match(place) or place in UNLIMITED
            out += [] if limited else [f"{place}:{call.lineno}: {name} without a time limit"]
    return out


def test_package_calls_nothing_that_runs_text_or_unpickles():
    found = [v for p in SOURCES for v in violations(p.read_text(encoding="utf-8"), p.relative_to(ROOT).as_posix())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "eval('1')", "os.system('ls')", "np.load(p)", "np.load(p, allow_pickle=True)", "torch.load(p)", "yaml.load(t)",
        "torch.load(p, weights_only=False)", "subprocess.run(c, shell=True, timeout=3)", "subprocess.run(['ls'])",
        "subprocess.Popen(c)", "tempfile.mktemp()", "urllib.request.urlopen(u)", "archive.extractall(p)",
        "pickle.Unpickler(s)", "zipfile.ZipFile(p)", "AutoModel.from_pretrained(n, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_the_walk_sees_each_kind_of_call(line):
    assert violations(line, "speech2lip/somewhere.py")


def test_speech_models_come_from_this_computer_unless_the_user_said_yes(monkeypatch):
    from speech2lip.audio.speech_models import _source

    monkeypatch.delenv("SPEECH2LIP_HUB", raising=False)
    assert _source() == {"local_files_only": True, "trust_remote_code": False}
    monkeypatch.setenv("SPEECH2LIP_HUB", "yes")
    assert _source() == {"local_files_only": False, "trust_remote_code": False}


def test_the_process_that_speaks_ends_by_itself(monkeypatch):
    """Whatever becomes of the process that started it."""
    from speech2lip.voice import espeak

    asked = []
    monkeypatch.setattr(espeak.signal, "alarm", asked.append)
    monkeypatch.setattr(espeak, "speak", lambda *_: (16000, b"", []))
    monkeypatch.setattr(sys, "argv", ["espeak", "en-us", "160", "word"])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    espeak.main()
    assert asked == [espeak.LIMIT] and 0 < espeak.LIMIT <= 120


# ---------------------------------------------------------------- what is shown

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egpj.exe \r\n error: fake \udcff \u2028"


def test_control_characters_are_shown_and_not_obeyed():
    shown = printable(HOSTILE)
    assert shown.isprintable() and "\\x1b[2J" in shown and "\\xff" in shown and "\\u202e" in shown
    assert printable("Müller 東京 é 👩‍🚀 plain") == "Müller 東京 é 👩‍🚀 plain"


@given(st.text())
def test_whatever_is_shown_can_be_printed(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert printable(shown) == shown and not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_errors_and_prints_of_commands_are_escaped(capsys):
    def work():
        print(f"{HOSTILE}: 3 frames")
        raise UserError(f"{HOSTILE} does not exist: give another")

    assert run_guarded(work) == 2
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err and "\\x1b[2J" in said.out
    assert len(said.err.splitlines()) == 1 and said.err.startswith("error: \\x1b[2J")


def test_command_line_itself_is_escaped(capsys):
    with pytest.raises(SystemExit):
        main(["weights", "list", "x", "\x1b[31mred"])
    assert "\x1b" not in capsys.readouterr().err
    assert main(["preprocess", "--video", HOSTILE.replace("/", ""), "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said and len(said.splitlines()) == 1


def test_titles_of_bars_are_escaped(capsys):
    from speech2lip.progress import bar

    with safe_streams(), contextlib.closing(bar("rendering a\rb\x1b[31m", 2)) as meter:
        meter.update(2)
    said = capsys.readouterr().err
    assert "\x1b" not in said and "a\\rb\\x1b[31m" in said


def test_report_escapes_names_and_loads_nothing():
    from speech2lip.evaluation.report import Evaluation, render_page

    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    page = render_page(Evaluation(evil, [], {evil: {evil: evil}}))
    assert "<script" not in page and "<img" not in page and page.count("&lt;script&gt;") == 5
    assert "Content-Security-Policy" in page and "default-src 'none'" in page
    assert (
        not re.search(r"""<[^>]* (?:src|href)=["']?(?!["']?(?:data:|#))""", page)
        and "http://" not in page
        and "https://" not in page
    )


# ---------------------------------------------------------------- files that lead elsewhere


def test_temporary_files_have_unguessable_names_and_are_the_users_alone(tmp_path):
    names = set()
    for _ in range(3):
        with atomic_path(tmp_path / "out.mp4") as path:
            names.add(path.name)
            assert path.parent == tmp_path and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(names) == 3


def test_output_that_is_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "victim")
    with atomic_path(tmp_path / "out") as path:
        path.write_text("new")
    assert (tmp_path / "victim").read_text() == "mine" and (tmp_path / "out").read_text() == "new"


def test_imported_dataset_cannot_reach_out_of_its_folder(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"private")
    (tmp_path / "theirs" / "ori_images_face").mkdir(parents=True)
    (tmp_path / "theirs" / "ori_images_face" / "00001.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(UserError, match=r"00001\.jpg leads out of"):
        import_dataset(tmp_path / "theirs", tmp_path / "ours", "x")
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("folder", ["/etc/cron.d/x", "../../x", "log/../../x", "."])
def test_imported_configuration_cannot_write_elsewhere(tmp_path, folder):
    (tmp_path / "a.yaml").write_text(f"data: {{path: x}}\ntraining: {{out_dir: {folder}}}\n")
    with pytest.raises(UserError, match="below this one"):
        import_config(tmp_path / "a.yaml", tmp_path / "b.yaml")


def test_name_of_an_imported_configuration_stays_in_its_comment(tmp_path):
    path = tmp_path / "x\ntrain: {output: evil}\n#.yaml"
    path.write_text("data: {path: x}\ntraining: {out_dir: log/x}\n")
    import_config(path, tmp_path / "b.yaml")
    text = (tmp_path / "b.yaml").read_text()
    assert yaml.safe_load(text)["train"].get("output") != "evil" and "evil" in text.splitlines()[0]


@pytest.mark.parametrize("where", ["../secret.mp4", "{absolute}", "link.mp4"])
def test_subject_file_cannot_name_a_video_outside_its_folder(tmp_path, where):
    from types import SimpleNamespace

    from speech2lip.subject.layout import SubjectLayout

    (tmp_path / "secret.mp4").write_bytes(b"private")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (tmp_path / "s" / "source.mp4").write_bytes(b"own")
    layout = SubjectLayout(tmp_path / "s")
    subject = SimpleNamespace(source=where.format(absolute=tmp_path / "secret.mp4"), name="x")
    with pytest.raises(UserError, match="outside its folder"):
        layout.source_path(subject)
    assert layout.source_path(SimpleNamespace(source="source.mp4", name="x")).read_bytes() == b"own"


# ---------------------------------------------------------------- scripts


def _bash(folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(["bash", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["../../x", "a/b", "-x", "..", "."])
def test_scripts_refuse_subjects_that_are_paths_or_options(workspace, name):
    run = _bash(workspace, "scripts/example/train_may.sh", name)
    assert run.returncode == 2 and "is no subject's name" in run.stderr


def test_scripts_run_nothing_that_stands_in_a_name(workspace):
    name = "a'b\"c $(touch owned1) `touch owned2`; touch owned3 #%d\n&"
    run = _bash(workspace, "scripts/example/train_may.sh", name)
    assert run.returncode == 2 and "Traceback" not in run.stderr, run.stderr
    assert not list(workspace.rglob("owned*"))


def test_frames_are_joined_under_any_name(workspace, tmp_path):
    from speech2lip.media.images import write_image
    from speech2lip.media.sound import save_wav

    folder = workspace / "12:30 %d $(touch owned) it's"
    folder.mkdir()
    for k in range(5):
        write_image(folder / f"{k:05d}.jpg", np.full((32, 32, 3), 40 * k, np.uint8))
    save_wav(folder / "a.wav", np.zeros(3200))
    code = 'source scripts/subject.sh may; join_frames "$0" "$0/a.wav" "$0/out.mp4"'
    run = _bash(workspace, "-c", code, str(folder))
    assert run.returncode == 0, run.stderr
    assert (folder / "out.mp4").stat().st_size > 500 and not list(workspace.rglob("owned"))


@pytest.mark.parametrize(
    "script", sorted((ROOT / "scripts").rglob("*.sh")) + sorted((ROOT / "preprocess").rglob("*.sh"))
)
def test_every_script_is_sound_shell(script):
    text = script.read_text()
    assert subprocess.run(["bash", "-n", str(script)], timeout=20).returncode == 0
    assert not re.search(r"\beval\b|\bcurl\b|\bwget\b|\| *(ba)?sh\b|/tmp/", text)


# ---------------------------------------------------------------- known vulnerabilities

KNOWN = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
FINE, UNASKED = {"name": "a", "version": "1", "vulns": []}, {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("report", "status", "said"),
    [
        (None, 3, "could not be asked about any package"), ({"dependencies": []}, 3, "any package"),
        ({"dependencies": [UNASKED, UNASKED]}, 3, "2 of 2"), ({"dependencies": [FINE, UNASKED]}, 3, "1 of 2"),
        ({"dependencies": [FINE, KNOWN, UNASKED]}, 1, "b 2: CVE-1, mended in 3"), ({"dependencies": [FINE]}, 0, "1 packages"),
    ],
)  # fmt: skip
def test_audit_never_passes_silently(tmp_path, report, status, said):
    """pip-audit itself says "No known vulnerabilities found" of packages that it could not look up."""
    path = tmp_path / "report.json"
    path.write_text("" if report is None else json.dumps(report))
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts/audit_report.py"), str(path)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == status and said in run.stdout


def test_every_exception_from_bandit_has_its_reason():
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "nosec" not in line or re.search(r"# nosec B\d+ # \w{2,}.* ", line), f"{path}: {line}"
