"""The commands: bad input ends in one sentence and status 2, with nothing half-written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speech2lip.cli import main
from speech2lip.errors import UserError, run_guarded
from speech2lip.media.encode import VideoWriter
from speech2lip.media.images import write_image
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.subject.source import content_hash

ROOT = Path(__file__).resolve().parents[1]


def _fails(capsys, *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    message = lines[-1]
    assert message.startswith("error: ") and "Traceback" not in "".join(lines)
    return message


def _video(path: Path, frames: int, audio: Path | None = None) -> Path:
    with VideoWriter(path, 25.0, audio) as video:
        for i in range(frames):
            video.write(np.full((64, 64, 3), i % 200, np.uint8))
    return path


@pytest.fixture
def tone(tmp_path):
    save_wav(tmp_path / "tone.wav", 0.1 * np.sin(np.arange(4 * SAMPLE_RATE)))
    return tmp_path / "tone.wav"


def test_no_face(capsys, tmp_path, tone):
    video = _video(tmp_path / "a.mp4", 80, tone)
    message = _fails(capsys, "preprocess", "--video", video, "--out", tmp_path / "s")
    assert "no face" in message
    assert not (tmp_path / "s" / "subject.json").exists()


def test_no_audio_track(capsys, tmp_path):
    message = _fails(capsys, "preprocess", "--video", _video(tmp_path / "a.mp4", 80), "--out", tmp_path / "s")
    assert "has no sound" in message and "--voice FILE" in message
    assert not (tmp_path / "s").exists()


def test_two_frame_clip(capsys, tmp_path, tone):
    video = _video(tmp_path / "a.mp4", 2, tone)
    assert "s of sound, needed are 2.5" in _fails(capsys, "preprocess", "--video", video, "--out", tmp_path / "s")
    message = _fails(capsys, "preprocess", "--video", video, "--voice", tone, "--out", tmp_path / "s")
    assert "2 frames" in message or "frames at 25" in message


def test_image_instead_of_video(capsys, tmp_path):
    write_image(tmp_path / "a.jpg", np.zeros((64, 64, 3), np.uint8))
    assert "single image" in _fails(capsys, "preprocess", "--video", tmp_path / "a.jpg", "--out", tmp_path / "s")


def test_missing_and_unreadable_files(capsys, tmp_path):
    assert "does not exist" in _fails(capsys, "preprocess", "--video", tmp_path / "no.mp4", "--out", tmp_path / "s")
    (tmp_path / "a.mp4").write_bytes(bytes(1000))
    assert "cannot be read" in _fails(capsys, "preprocess", "--video", tmp_path / "a.mp4", "--out", tmp_path / "s")


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo.mp4")
    return folder / "fifo.mp4"


def _empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def _empty_file(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def _one_text(folder: Path) -> Path:
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("no frame")
    return folder / "texts"


def _below_a_file(folder: Path) -> Path:
    return _empty_file(folder) / "a.mp4"


@pytest.mark.parametrize("option", ["--video", "--voice"])
@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (_fifo, "is a pipe or a device"), (_empty_file, "is empty"), (_empty_folder, "holds no images"), (_one_text, "holds no images"),
        (_below_a_file, "does not exist"), (lambda folder: folder / ("x" * 300), "cannot be read (File name too long)"),
    ],
)  # fmt: skip
def test_what_is_no_file_is_one_sentence_at_once(capsys, tmp_path, tone, make, wanted, option):
    given = make(tmp_path)
    if option == "--voice" and "holds no images" in wanted:
        wanted = "is a folder"
    files = {"--video": _video(tmp_path / "a.mp4", 80, tone), option: given}
    arguments = [x for pair in files.items() for x in pair]
    for command in (["preprocess", "--out", tmp_path / "s"], ["run", "--audio", tone, "--out", tmp_path / "o.mp4"]):
        message = _fails(capsys, *command, *arguments)
        assert message.startswith(f"error: {given} {wanted}")
    assert not (tmp_path / "s").exists()


def test_a_clip_without_sound_takes_its_voice(capsys, monkeypatch, tmp_path, tone):
    """`--voice` is what the clip says; `--audio` of `run` what shall be said."""
    from speech2lip.preparation import pipeline

    opened = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "run_stages", lambda stages, *_: _stop(opened, stages))
    video = _video(tmp_path / "a.mp4", 80)
    save_wav(tmp_path / "voice.wav", 0.1 * np.sin(np.arange(3 * SAMPLE_RATE)))
    _fails(
        capsys, "run", "--video", video, "--voice", tmp_path / "voice.wav", "--audio", tone, "--out", tmp_path / "o.mp4"
    )
    _fails(capsys, "preprocess", "--video", video, "--audio", tmp_path / "voice.wav", "--out", tmp_path / "s")
    assert opened == [content_hash(tmp_path / "voice.wav")] * 2


def _stop(opened: list, stages: list) -> None:
    opened.append(next(s for s in stages if s.name == "audio").inputs["sound"])
    raise UserError("seen")


def test_a_finished_folder_has_its_face(capsys, tmp_path):
    (tmp_path / "subject.json").write_text("{}")
    assert "whose face is chosen" in _fails(capsys, "doctor", tmp_path, "--face", "2")


def test_a_choice_of_face_is_looked_at_before_anything_slow(capsys, tmp_path, tone):
    video = _video(tmp_path / "a.mp4", 80, tone)
    for command in ("preprocess", "doctor"):
        place = ["--out", tmp_path / "s"] if command == "preprocess" else [f"data.root={tmp_path / 's'}"]
        assert "numbered from 1" in _fails(capsys, command, "--video", video, "--face", "0", *place)
    assert not (tmp_path / "s").exists()


def test_audio_shorter_than_a_frame(capsys, tmp_path, model_path, subject_config):
    save_wav(tmp_path / "a.wav", np.zeros(300))
    arguments = ["render", "--model", model_path, "--audio", tmp_path / "a.wav", "--out", tmp_path / "o.mp4"]
    assert "0.05 s" in _fails(capsys, *arguments)
    assert not (tmp_path / "o.mp4").exists()


def test_unwritable_output(capsys, tmp_path, model_path, tone):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "o.mp4"
    assert "cannot write" in _fails(capsys, "render", "--model", model_path, "--audio", tone, "--out", out)
    video = _video(tmp_path / "a.mp4", 100, tone)
    assert "cannot write" in _fails(capsys, "preprocess", "--video", video, "--out", tmp_path / "file" / "s")


def test_unknown_configuration_key(capsys, tmp_path):
    assert "trian" in _fails(capsys, "train", "trian.steps=3")
    assert "key=value" in _fails(capsys, "train", "steps")


def test_training_without_a_subject(capsys, tmp_path):
    assert "speech2lip preprocess" in _fails(capsys, "train", f"data.root={tmp_path}")


def test_settings_may_follow_options(capsys, tmp_path):
    """A setting after `--fresh` is as good as one before it."""
    assert "speech2lip preprocess" in _fails(capsys, "train", "--fresh", f"data.root={tmp_path}", "--config", "fast")


NAMES = ["#1 intro", "talk #1", "talk #2", "Interview: part 1", "12:30", "007", "1e5", "1.10", "true", "null", "[4K] me", "{a}",
         "@me", "!x", "*x", "&x", "${HOME}", "x%d", "it's me", "-x", "--out", ".hidden", "a ", "a", "a\nb", "x" * 251, "\udcff"]  # fmt: skip


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Configurations with which preprocessing would have begun."""
    from speech2lip.preparation import pipeline

    seen = []

    def stand_in(config, *_):
        seen.append(config)
        raise UserError("seen")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "preprocess", stand_in)
    return seen


def test_every_name_is_a_subject_of_its_own(asked, tmp_path, tone):
    for name in NAMES:
        for command in (["run", "--audio", str(tone), "--out", "o.mp4"], ["preprocess"]):
            assert main([*command, "--video", f"{name}.mp4"]) == 2
    assert len(asked) == 2 * len(NAMES) and len({c.name for c in asked}) == len(NAMES)
    for config in asked:
        assert Path(config.data.root) == Path("dataset", config.name) and Path(config.data.root).parent == Path(
            "dataset"
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tone.wav"]


@pytest.mark.parametrize("name", ["../x", "/x", "", "x" * 256, "..", "a/b", "a\0b"])
@pytest.mark.parametrize("command", ["run", "preprocess", "train", "render", "evaluate"])
def test_a_name_that_leads_elsewhere_is_refused(capsys, asked, tmp_path, tone, name, command):
    files = {
        "run": ["--video", "me.mp4", "--audio", tone, "--out", "o.mp4"], "preprocess": ["--video", "me.mp4"], "train": [],
        "render": ["--audio", tone, "--out", "o.mp4"], "evaluate": [],
    }[command]  # fmt: skip
    assert "name is " in _fails(capsys, command, *files, f"--name={name}")
    if command in ("run", "preprocess", "train"):
        assert "name is " in _fails(capsys, command, *files, f"name={name}")
    assert not asked and sorted(p.name for p in tmp_path.iterdir()) == ["tone.wav"]


def test_places_follow_the_name_unless_they_are_given(asked, tone, tmp_path):
    cases = {
        ("--video", "me.mp4", "--name", "anna"): ("anna", "dataset/anna"),
        ("--video", "me.mp4"): ("me", "dataset/me"),
        ("--video", "me.mp4", "--out", "there/you"): ("you", "there/you"),
        ("--video", "me.mp4", "--out", "there/you", "--name", "anna"): ("anna", "there/you"),
        ("--video", "me.mp4", "data.root=x"): ("subject", "x"),
        ("--video", "me.mp4", "data.root=x", "--name", "anna"): ("anna", "x"),
        ("--video", "me.mp4", "name=anna"): ("anna", "dataset/anna"),
    }
    for arguments, wanted in cases.items():
        assert main(["preprocess", *arguments]) == 2
        assert (asked[-1].name, asked[-1].data.root) == wanted, arguments


def test_run_trains_as_long_as_is_asked_and_says_so(capsys, asked, tone, tmp_path):
    (tmp_path / "quick.yaml").write_text("train: {minutes: 7}")
    cases = {
        (): "30 minutes (--minutes)",
        ("train.steps=50",): "50 steps (train.steps)",
        ("train.steps=40000",): "40000 steps (train.steps)",
        ("train.minutes=2",): "2 minutes (train.minutes)",
        ("train.steps=50", "--minutes", "3"): "3 minutes (--minutes)",
        ("train.minutes=0",): "40000 steps (train.steps)",
        ("--config", "quick.yaml"): "7 minutes (quick.yaml)",
    }
    for given, wanted in cases.items():
        assert main(["run", "--video", "me.mp4", "--audio", str(tone), "--out", "o.mp4", *given]) == 2
        assert f"training for {wanted}\n" in capsys.readouterr().out, given
        train = asked[-1].train
        assert wanted.startswith(f"{train.minutes:g} minutes" if train.minutes else f"{train.steps} steps")


def test_train_takes_the_same_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--out dataset/anna" in _fails(capsys, "train", "--name", "anna", "--fresh", "train.steps=3")
    assert "--out x/y" in _fails(capsys, "train", "data.root=x/y", "--name", "anna")
    assert not list(tmp_path.iterdir())


def test_train_and_render_name_what_there_is(capsys, tmp_path, monkeypatch, tone):
    monkeypatch.chdir(tmp_path)
    for name in ("hlg", "base"):
        (tmp_path / "dataset" / name).mkdir(parents=True)
        (tmp_path / "dataset" / name / "subject.json").write_text("{}")
    assert "give --name; there are: base, hlg" in _fails(capsys, "train")
    folder = _fails(capsys, "train", "dataset/hlg")
    assert "dataset/hlg is a subject's folder: speech2lip train --name hlg" in folder
    untrained = _fails(capsys, "render", "--name", "hlg", "--audio", tone, "--out", "o.mp4")
    assert "train it first: speech2lip train --name hlg" in untrained


def test_preprocess_ends_with_what_is_ready_and_the_next_command(subject_config):
    from speech2lip.cli.preprocess import _ready
    from speech2lip.subject.layout import SubjectLayout

    layout = SubjectLayout(subject_config.data.root)
    subject = layout.load_subject()
    track, count = layout.load_track(subject), subject.frames
    kept = layout.track.read_bytes()
    track.hidden[:100] = True
    layout.save_track(track)
    try:
        lines = _ready(subject_config, subject).splitlines()
    finally:
        layout.track.write_bytes(kept)
    clear = int(track.clear.sum())
    assert clear < count and lines[0].endswith(f": {clear} of {count} frames ready for training")
    assert lines[1].startswith(f"{clear / 25:.0f} s of this person are little")
    assert lines[2].startswith("next: speech2lip train --name speaker ") and subject_config.data.root in lines[2]


def test_output_goes_to_exactly_the_place_that_was_named(capsys, subject_config, tmp_path, monkeypatch):
    from speech2lip.training import trainer

    seen = []
    monkeypatch.setattr(trainer, "fit", lambda config, fresh, look: seen.append((config, fresh)) or tmp_path)
    out = tmp_path / "a b #1"
    assert (
        main(["train", f"data.root={subject_config.data.root}", "--fresh", f"train.output={out}", "train.steps=3"]) == 0
    )
    ((config, fresh),) = seen
    assert (
        capsys.readouterr().out.splitlines()[-1]
        == f"next: speech2lip render --model {tmp_path} --audio SPEECH --out result.mp4"
    )
    assert (config.train.output, config.train.steps, fresh) == (str(out), 3, True)


def test_a_training_that_cannot_be_written_is_refused_before_preprocessing(capsys, asked, tmp_path, tone):
    (tmp_path / "file").write_text("in the way")
    arguments = [
        "run",
        "--video",
        "me.mp4",
        "--audio",
        tone,
        "--out",
        tmp_path / "o.mp4",
        f"train.output={tmp_path / 'file'}",
    ]
    assert "cannot write" in _fails(capsys, *arguments) and not asked
    arguments = ["run", "--video", "me.mp4", "--audio", tone, "--out", tmp_path / "o.mp4", "train.device=cuda:99"]
    assert "cuda:99" in _fails(capsys, *arguments) and not asked


def test_a_model_whose_subject_is_gone_is_not_mixed_with_a_new_clip(capsys, asked, tmp_path, tone):
    (tmp_path / "log" / "me").mkdir(parents=True)
    (tmp_path / "log" / "me" / "model.pt").write_bytes(b"another's")
    arguments = ["run", "--video", "me.mp4", "--audio", tone, "--out", tmp_path / "o.mp4"]
    assert "is gone" in _fails(capsys, *arguments) and not asked
    _fails(capsys, *arguments, "--fresh")
    _fails(capsys, *arguments, "--name", "you")
    assert [c.name for c in asked] == ["me", "you"]
    assert (tmp_path / "log" / "me" / "model.pt").read_bytes() == b"another's"


def test_a_model_is_named_by_its_subject(capsys, tmp_path, monkeypatch, tone):
    monkeypatch.chdir(tmp_path)
    message = _fails(capsys, "render", "--name", "talk #1", "--audio", tone, "--out", "o.mp4")
    assert "log/talk #1/model.pt" in message
    assert "log/talk #1/model.pt does not exist" in _fails(capsys, "evaluate", "--name", "talk #1")
    assert "either --model, or --name" in _fails(capsys, "render", "--audio", tone, "--out", "o.mp4")


def test_config_shows_what_is_asked_for(capsys):
    assert main(["config", "train.minutes"]) == 0
    assert capsys.readouterr().out.startswith("train.minutes = 0.0\n    budget in minutes")
    assert main(["config", "--config", "faithful", "--changed"]) == 0
    assert "model.lip.width = 256  (default 192)" in capsys.readouterr().out
    assert main(["config", "--yaml", "name=007"]) == 0
    assert 'name: "007"' in capsys.readouterr().out
    assert "no key or section" in _fails(capsys, "config", "trian")


@pytest.mark.parametrize("option", ["--yaml", "--changed"])
def test_config_refuses_what_it_does_not_know_and_suggests(capsys, option):
    assert "did you mean train.batch?" in _fails(capsys, "config", "train.bach", option)
    assert "no key or section 'nonsense'" in _fails(capsys, "config", option, "nonsense")


def test_output_may_be_cut_off():
    """`speech2lip config | head -1`"""
    command = f"{sys.executable} -m speech2lip config --yaml; echo $? >&2"
    run = subprocess.run(f"({command}) | true", shell=True, cwd=ROOT, capture_output=True, text=True)
    assert run.stderr.strip() in ("0", "141")  # 0 where all of it went into the pipe before its reader left


def test_another_broken_pipe_is_no_end_of_our_output():
    def work() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_guarded(work)


def test_the_folder_that_is_worked_in_names_the_subject(capsys, monkeypatch, tmp_path):
    from speech2lip.preparation import pipeline

    def stand_in(config, *_):
        raise UserError(f"name is {config.name!r}, root is {config.data.root!r}")

    (tmp_path / "anna").mkdir()
    monkeypatch.chdir(tmp_path / "anna")
    monkeypatch.setattr(pipeline, "preprocess", stand_in)
    assert "name is 'anna', root is '.'" in _fails(capsys, "preprocess", "--video", "a.mp4", "--out", ".")


def test_an_unknown_command_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["rendre"])
    assert stop.value.code == 2 and "render" in capsys.readouterr().err


def test_a_missing_extra_says_how_to_get_it(capsys, monkeypatch, tmp_path):
    from speech2lip import extras

    real = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "jinja2" else real(name))
    message = _fails(capsys, "evaluate", "--model", tmp_path / "model.pt")
    assert "jinja2, which is not installed" in message and 'pip install "speech2lip[evaluate]"' in message


@pytest.mark.parametrize(
    "command", ["run", "preprocess", "train", "render", "listen", "evaluate", "demo", "config", "weights", "import"]
)
def test_help_explains_itself_with_an_example(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  speech2lip {command}" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["train.py", "inference.py"])
def test_published_entry_points_refuse_a_missing_configuration(script):
    run = subprocess.run([sys.executable, script, "configs/nobody.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.startswith("error: ") and "nobody.yaml" in run.stderr


@pytest.mark.slow
def test_render_and_evaluate_commands(model_path, subject_config, tone, tmp_path, capsys):
    assert main(["render", "--model", str(model_path), "--audio", str(tone), "--out", str(tmp_path / "o.mp4")]) == 0
    assert "100 frames" in capsys.readouterr().out
    assert main(["evaluate", "--model", str(model_path), "--protocol", "self", "--out", str(tmp_path / "e")]) == 0
    out = capsys.readouterr().out
    assert "generated" in out and "frozen" in out and "opening_r" in out and (tmp_path / "e" / "report.html").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("python", ["python", "python -u"])
@pytest.mark.parametrize(
    ("streams", "said"),
    [(">&-", "it is closed"), (">/dev/full", "No space left"), (">&- 2>&- <&-", ""), (">/dev/full 2>/dev/full", "")],
)
@pytest.mark.parametrize("command", ["config train", "config --help"])
def test_output_that_is_lost_is_one_sentence_or_none(python, streams, said, command):
    words = f"{python.replace('python', sys.executable)} -m speech2lip {command} {streams}"
    run = subprocess.run(words, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.count("\n") == bool(said) and said in run.stderr


def test_a_closed_output_does_not_end_the_work(tmp_path):
    """Neither what is printed nor a bar; and no file that is opened gets the number of a closed stream."""
    work = (
        "import sys; from pathlib import Path; from speech2lip import cli; from speech2lip.progress import track\n"
        "def work(options):\n"
        "    print('shown'); [print('x', file=sys.stderr) for _ in track(range(3), 'bar')]\n"
        "    with open('made', 'w') as out: out.write(str(out.fileno() > 2))\n"
        "    return 0\n"
        "cli.COMMANDS['weights'] = cli.Command('work', 'work', lambda parser: None, work)\n"
        "sys.argv[1:] = ['weights']; cli.entry()"
    )
    (tmp_path / "work.py").write_text(work)
    for streams in (">&- 2>&- <&-", ">/dev/full 2>/dev/full"):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(f"{sys.executable} work.py {streams}", shell=True, cwd=tmp_path, env=env)
        assert run.returncode == 2 and (tmp_path / "made").read_text() == "True"
        (tmp_path / "made").unlink()


def test_standard_input_needs_stream(capsys, tmp_path, model_path):
    said = _fails(capsys, "render", "--model", model_path, "--audio", "-", "--out", tmp_path / "a.mp4")
    assert "add --stream" in said


def test_the_video_may_stand_alone(capsys, tmp_path, monkeypatch):
    """One word that is no setting is it; what begins like a setting's name lacks its value."""
    monkeypatch.chdir(tmp_path)
    assert "me.mp4" in _fails(capsys, "preprocess", "me.mp4") and not (tmp_path / "dataset").exists()
    _video(tmp_path / "me.mp4", 30)
    assert "me.mp4 has no sound" in _fails(capsys, "preprocess", "me.mp4", "--out", "x")
    assert "'train.batch' is not a setting" in _fails(capsys, "preprocess", "train.batch")
    assert "is not a setting" in _fails(capsys, "preprocess", "--video", "me.mp4", "again.mp4")
    assert "no video was given" in _fails(capsys, "run", "--audio", "a.wav", "--out", "b.mp4")


@pytest.mark.parametrize("command", [["doctor"], ["render", "--audio", "tone.wav", "--out", "o.mp4", "--model"], ["verify"], ["train", "--name"]])  # fmt: skip
def test_a_name_that_no_file_can_have_is_one_sentence(capsys, tmp_path, monkeypatch, tone, command):
    monkeypatch.chdir(tmp_path)
    assert "name" in _fails(capsys, *command, "x" * 5000)


def test_a_pose_that_no_file_can_have(capsys, tmp_path, tone):
    words = ["render", "--model", tone, "--audio", tone, "--out", tmp_path / "o.mp4", "--pose", "x" * 5000]
    message = _fails(capsys, *words)
    assert "cannot be a file's name (File name too long): give a shorter one" in message and len(message) < 200
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize(
    "command",
    [
        ["verify"], ["verify", "tone.wav", "--certificate"], ["render", "--model", "tone.wav", "--out", "o.mp4", "--audio"],
        ["evaluate", "--model", "tone.wav", "--audio"], ["subjects", "import"], ["pose", "--out", "m.json", "--data"],
    ],
)  # fmt: skip
def test_a_folder_in_place_of_a_file_is_one_sentence(capsys, tmp_path, monkeypatch, tone, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    _fails(capsys, *command, "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "tone.wav"]


@pytest.mark.parametrize("stretch", ["9" * 5000 + ":3", "1:", ":", "a:b", "-1:5", "\u00b2:\u00b3"])
def test_a_stretch_that_is_none_is_one_short_sentence(capsys, tmp_path, tone, stretch):
    words = ["render", "--model", tone, "--audio", tone, "--out", tmp_path / "o.mp4", f"--loop={stretch}"]
    message = _fails(capsys, *words)
    assert "such as 100:349" in message and len(message) < 250
