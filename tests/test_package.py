"""The installed product: what the wheel carries and asks for, and that it works in an empty folder."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import speech2lip

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {
    "demo",
    "voice",
    "evaluate",
    "tensorboard",
    "published",
    "service",
    "live",
    "pipecat",
    "studio",
    "ray",
    "docs",
    "all",
    "dev",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, without a network: a build folder in the checkout would travel into later wheels."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "speech2lip", folder / "speech2lip", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=folder, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def content(wheel) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(content) -> Message:
    return message_from_bytes(next(v for k, v in content.items() if k.endswith(".dist-info/METADATA")))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Folder in which only the wheel is installed; its dependencies are those of this environment."""
    site = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    return site


@pytest.fixture
def run(installed, tmp_path, monkeypatch):
    """Runs the installed command in an empty folder with an empty home; returns what it printed."""
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("SPEECH2LIP_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    environment = os.environ | {
        "PYTHONPATH": str(installed), "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100",
    }  # fmt: skip

    def run(*arguments: object, status: int = 0) -> str:
        command = [str(installed / "bin" / "speech2lip"), *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr[-2000:]
        return done.stdout if status == 0 else done.stderr

    return run


# ---------------------------------------------------------------- what the wheel carries


def test_wheel_carries_every_module_and_data_file(content):
    """Presets, template, weights with their notice, type marker: whatever lies in the package, and no more."""
    files = (p.relative_to(ROOT).as_posix() for p in (ROOT / "speech2lip").rglob("*") if p.is_file())
    carried = {name for name in content if ".dist-info/" not in name}
    assert carried == {name for name in files if "__pycache__" not in name}
    for name in (
        "configs/fast.yaml", "configs/tiny.yaml", "configs/demo.yaml", "configs/faithful.yaml", "configs/published.yaml", "py.typed",
        "evaluation/report.html.j2", "weights/data/moonshine_tiny_encoder.safetensors", "weights/data/silero_vad.safetensors", "weights/data/face_identity.safetensors", "weights/data/NOTICE.txt",
    ):  # fmt: skip
        assert f"speech2lip/{name}" in carried
    licences = {name.split(".dist-info/")[1] for name in content if "/licenses/" in name}
    assert licences == {"licenses/LICENSE", "licenses/speech2lip/weights/data/NOTICE.txt"}


def test_wheel_is_light(wheel):
    assert wheel.stat().st_size < 20_000_000


def test_metadata_says_who_may_use_it_and_for_what(metadata):
    assert metadata["Name"] == "speech2lip" and metadata["Version"] == speech2lip.__version__
    assert metadata["License-Expression"] == "MIT" and metadata["Requires-Python"] == ">=3.10"
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS
    classifiers = metadata.get_all("Classifier")
    assert "Typing :: Typed" in classifiers and "Programming Language :: Python :: 3.13" in classifiers


# ---------------------------------------------------------------- what it asks for


def _required(metadata: Message) -> list[Requirement]:
    every = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    return [r for r in every if r.name != "speech2lip"]


def _pins() -> dict[str, list[Requirement]]:
    lines = [re.sub(r"#.*", "", line).strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins: dict[str, list[Requirement]] = {}
    for requirement in (Requirement(line) for line in lines if line):
        pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def test_requirements_are_ranges_that_can_live_beside_other_packages(metadata):
    for requirement in _required(metadata):
        assert {s.operator for s in requirement.specifier} == {">="}, requirement


def test_every_requirement_is_pinned_for_every_python_and_system(metadata):
    pins = _pins()
    for python, system in itertools.product(("3.10", "3.11", "3.12", "3.13"), ("linux", "darwin")):
        where = {"python_version": python, "sys_platform": system}
        for requirement in _required(metadata):
            if requirement.marker and not any(requirement.marker.evaluate(where | {"extra": e}) for e in EXTRAS):
                continue  # not for this system
            found = [p for p in pins[canonicalize_name(requirement.name)] if not p.marker or p.marker.evaluate(where)]
            assert len(found) == 1, f"{requirement.name} on Python {python}, {system}"
            (version,) = (s.version for s in found[0].specifier)
            assert requirement.specifier.contains(version), f"{found[0]} is outside of {requirement}"


def test_what_is_heavy_is_optional(metadata):
    """What the report, the demo, curves and published backends need is asked for by extras alone."""
    core = {r.name for r in _required(metadata) if not r.marker or "extra" not in str(r.marker)}
    heavy = {"tensorboard", "matplotlib", "Jinja2", "scikit-image", "espeakng-loader", "transformers", "pocketsphinx"}
    assert not core & (heavy | {"tensorflow", "tensorflow-cpu", "moonshine-voice", "flatbuffers"})
    assert heavy <= {r.name for r in _required(metadata)}


# ---------------------------------------------------------------- installed, in an empty folder


def test_presets_are_known_anywhere(run):
    shown = run("config", "--config", "faithful", "--changed")
    assert "model.lip.width = 256" in shown
    assert "train.minutes = 3" in run("config", "--config", "demo", "train.minutes")
    message = run("train", "--config", "fsat", status=2)
    assert message.startswith("error: ") and "fast" in message and message.count("\n") == 1


def test_help_and_version(run):
    assert "commands:" in run("--help") and "--minutes" in run("demo", "--help")
    assert run("--version").strip() == speech2lip.__version__


def test_weights_lie_in_the_users_folder(run, tmp_path, installed):
    listed = run("weights")
    assert f"path: {tmp_path / 'home'}" in listed and str(installed) not in listed


def test_weights_of_a_checkout_are_found_in_the_current_folder(run, tmp_path):
    path = tmp_path / "work/preprocess/face_parsing/79999_iter.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    assert f"put it at: {path}\nnow: there" in run("weights", "where", "face-parsing")


def test_report_template_is_found(installed, tmp_path):
    code = (
        "from jinja2 import Environment, PackageLoader; import speech2lip; print(speech2lip.__file__);"
        "Environment(loader=PackageLoader('speech2lip.evaluation', '.')).get_template('report.html.j2')"
    )
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(installed / "speech2lip/__init__.py")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_video_becomes_another_and_results_lie_where_the_user_stands(run, clip, tmp_path, installed):
    before = {p for p in installed.rglob("*") if "__pycache__" not in p.parts}
    quick = ["train.steps=8", "train.minutes=0", "train.batch=2", "train.articulate=1", "model.blend.widths=[8,8,8]"]
    run("preprocess", "--video", clip / "speaker.mp4", "--out", "me")
    run("train", "name=me", "data.root=me", "--config", "fast", *quick)
    assert "frames" in run("render", "--model", "log/me/model.pt", "--audio", clip / "speaker.wav", "--out", "out.mp4")
    assert (tmp_path / "work/out.mp4").stat().st_size > 10_000
    assert {p.name for p in (tmp_path / "work").iterdir()} == {"me", "log", "out.mp4"}
    assert {p for p in installed.rglob("*") if "__pycache__" not in p.parts} == before


# ---------------------------------------------------------------- the scripts' environment


@pytest.fixture
def source(workspace, tmp_path_factory, monkeypatch):
    """Sources scripts/env.sh with a stand-in for Python; returns the commands that it was given."""
    environment = tmp_path_factory.mktemp("environment")
    python = environment / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\necho "$@" >>"{environment}/log"\nexit $(cat "{environment}/status" 2>/dev/null || echo 0)\n'
    )
    python.chmod(0o755)
    monkeypatch.delenv("SPEECH2LIP_INSTALL")
    monkeypatch.delenv("EXTRAS", raising=False)

    def source(status: int = 0, **more: str) -> list[str]:
        (environment / "log").write_text("")
        (environment / "status").write_text(str(status))
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        variables = os.environ | {"VIRTUAL_ENV": str(environment), "PATH": path} | more
        command = ["bash", "-euc", "source scripts/env.sh"]
        done = subprocess.run(command, cwd=workspace, env=variables, capture_output=True, text=True)
        assert (done.returncode != 0) == (status != 0), done.stderr
        return (environment / "log").read_text().splitlines()

    return source


def test_scripts_install_once_and_again_when_something_changed(source, workspace):
    (first,) = source()
    assert first.startswith("-m pip install") and first.endswith(
        "--constraint constraints.txt --editable .[demo,evaluate]"
    )
    assert source() == []
    with open(workspace / "constraints.txt", "a") as stream:
        stream.write("# changed\n")
    assert source(status=1) == [first]  # what failed is not taken for done
    assert source() == [first] and source() == []


def test_what_developers_installed_serves_the_demo(source):
    (line,) = source(EXTRAS="dev")
    assert line.endswith(".[dev]")
    assert source() == []
    (line,) = source(EXTRAS="docs")  # which it does not hold
    assert line.endswith(".[docs]")


def test_scripts_leave_the_environment_alone_when_told_so(source):
    assert source(SPEECH2LIP_INSTALL="no") == []


def test_published_requirements_are_the_pinned_checkout():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["-c constraints.txt", "-e .[demo,evaluate]"]
