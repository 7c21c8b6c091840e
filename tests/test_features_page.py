"""docs/features.md: every command is one that this program takes, and does what it says on the synthetic speaker."""

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

import speech2lip
from speech2lip.cli import COMMANDS, main
from speech2lip.cli.commands import _take_video, _with_their_values, parser_of
from speech2lip.detection.detect import FaceMesh
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import VideoWriter
from speech2lip.media.images import read_image, write_image
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.subject.layout import SubjectLayout
from tests.detection.second_look import second_look

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "features.md").read_text("utf-8")


def _commands(page: str) -> list[str]:
    """Command lines of a page: indented by four, without what is said behind `#`."""
    lines = re.findall(r"^    ((?:speech2lip|python) .+)$", page, re.M)
    return [line.split("  #")[0].strip() for line in lines]


OURS = [line for line in _commands(PAGE) if line.startswith("speech2lip ")]
OTHERS = [line for line in _commands(PAGE) if not line.startswith("speech2lip ")]


@pytest.mark.parametrize("line", OURS)
def test_every_command_is_taken(line):
    _, name, *words = shlex.split(line)
    parser = parser_of(name, COMMANDS[name])
    options = parser.parse_intermixed_args(_with_their_values(parser, words))  # SystemExit for what it does not know
    _take_video(options)
    assert not [word for word in getattr(options, "settings", []) if "=" not in word]


def test_every_benchmark_is_there_with_its_options():
    """Also those that are named within sentences."""
    named = {line.strip("`") for line in re.findall(r"`python benchmarks/[^`]+`", PAGE)} | set(OTHERS)
    assert len(named) >= 3
    for line in named:
        _, script, *words = shlex.split(line)
        text = (ROOT / script).read_text("utf-8") + (ROOT / "benchmarks" / "trial.py").read_text("utf-8")
        assert all(f'"{word}"' in text for word in words if word.startswith("--")), line


def test_every_call_in_python_fits_its_function():
    calls = [ast.parse(text).body[0].value for text in re.findall(r"In Python: `(\w+\(.+?\))`", PAGE)]
    assert len(calls) >= 3
    for call in calls:
        given = {word.arg: None for word in call.keywords}
        inspect.signature(getattr(speech2lip, call.func.id)).bind(*call.args, **given)


def test_every_feature_has_a_picture_and_a_command():
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]:
        title = section.splitlines()[0]
        pictures = re.findall(r"!\[[^\]]+\]\((images/[^)]+)\)", section)
        assert pictures and _commands(section), title
        for picture in pictures:
            image = read_image(ROOT / "docs" / picture)
            assert min(image.shape[:2]) >= 200 and image.std() > 10, picture


# ---------------------------------------------------------------- run


@pytest.fixture(scope="module")
def place(clip, model_path, subject_config, tmp_path_factory) -> Path:
    """A folder that has what the commands name; one small model of the synthetic speaker is both `me` and `demo`."""
    folder = tmp_path_factory.mktemp("features")
    for name in ("me", "demo"):
        (folder / "log" / name).mkdir(parents=True)
        shutil.copy(model_path, folder / "log" / name)
    wav = load_audio(clip / "speaker.wav")
    for number, name in enumerate(("speech", "other", "held_out")):
        save_wav(folder / f"{name}.wav", wav[number * SAMPLE_RATE :][: 2 * SAMPLE_RATE])
    (folder / "times.srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nHello there.\n")
    _talk(clip, folder)
    return folder


def _talk(clip: Path, folder: Path) -> None:
    """talk.mp4: the speaker, then for longer somebody else, so that number 2 is the speaker; her.jpg shows number 2."""
    frames = [f.copy() for f in islice(read_frames(clip / "speaker.mp4", 25.0), 300)]
    with closing(FaceMesh()) as mesh:
        others = [second_look(frame, mesh) for frame in frames[125:]]
    save_wav(folder / "talk.wav", load_audio(clip / "speaker.wav")[: 12 * SAMPLE_RATE])
    with VideoWriter(folder / "talk.mp4", 25.0, folder / "talk.wav", crf=12) as video:
        for frame in [*frames[:125], *others]:
            video.write(frame)
    write_image(folder / "her.jpg", frames[60])


@pytest.fixture
def inside(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    return place


def _run(line: str, capsys) -> str:
    assert main(shlex.split(line)[1:]) == 0, line
    return capsys.readouterr().out


RENDERS = [line for line in OURS if shlex.split(line)[1] == "render"]


@pytest.mark.slow
@pytest.mark.parametrize("line", RENDERS)
def test_renders_of_the_page(line, inside, subject_config, capsys):
    words = shlex.split(line)
    out = inside / words[words.index("--out") + 1]
    out.unlink(missing_ok=True)
    assert str(out.name) in _run(line, capsys)
    frames = sum(1 for _ in read_frames(out, 25.0))
    whole = SubjectLayout(subject_config.data.root).load_subject().frames
    assert frames == (whole if "--segments" in words else 50)
    assert "intact" in _run(f"speech2lip verify {out.name}", capsys)


@pytest.mark.slow
def test_sound_is_listened_to(inside, capsys):
    line = next(line for line in OURS if " listen " in line)
    assert _run(line, capsys).count(".wav") >= 2


@pytest.mark.slow
def test_of_two_people_one_is_chosen(inside, capsys):
    """`talk.mp4` shows two; the same person is meant by the number and by the picture."""
    doctor, number, picture = (line for line in OURS if "talk.mp4" in line)
    assert "people.jpg" in _run(doctor, capsys)
    sheet = SubjectLayout("dataset/talk").sheet
    assert sheet.is_file() and len(SubjectLayout("dataset/talk").load_people().people) == 2
    for line in (number, picture):
        _run(f"{line} learnable.sync=-1 photometric.weight=0 audio.backend=mel", capsys)
        assert SubjectLayout("dataset/talk").load_subject().face == 2


@pytest.mark.slow
@pytest.mark.parametrize("line", OTHERS)
def test_benchmarks_of_the_page_run(line, tmp_path):
    """With fewer steps and small networks; what they measure is theirs."""
    small = [
        "model.lip.width=32", "model.lip.layers=2", "model.lip.skip_after=0", "model.blend.widths=[8,8,8]", "audio.backend=mel",
        "train.batch=2", "train.articulate=1", "train.speech_share=0", "photometric.weight=0", "face.max_crop=192",
    ]  # fmt: skip
    _, script, *words = shlex.split(line)
    words[words.index("--steps") + 1] = "3"
    command = [sys.executable, str(ROOT / script), *words, *small]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"SSIM inside"' in done.stdout and list(tmp_path.rglob("occluders.jpg"))
