"""The benchmark scripts: their variants load, their tables are right."""

import argparse
import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from speech2lip.config import default_config, load_config
from speech2lip.media.encode import LiveWriter
from speech2lip.preparation.pipeline import stages_of
from speech2lip.preparation.source import Clip
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.source import stamp

ROOT = Path(__file__).resolve().parents[1]


def _script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quality, speed = _script("quality"), _script("speed")


@pytest.mark.parametrize("variant", quality.VARIANTS)
def test_every_variant_is_a_valid_configuration_that_differs(variant):
    config = default_config(list(quality.VARIANTS[variant]))
    assert (config == default_config([])) == (variant == "default")


@pytest.mark.parametrize("name", ["faithful", "tiny"])
def test_variants_named_after_presets_are_these(name):
    assert default_config(list(quality.VARIANTS[name])) == load_config(name)
    assert default_config([]) == load_config("fast")


@pytest.mark.parametrize("name", speed.PRESETS)
def test_what_is_timed_is_the_preset(name, tmp_path):
    config = speed.preset(name, argparse.Namespace(out=tmp_path, device="cpu"))
    assert config.model == load_config(name).model and Path(config.data.root).parent == tmp_path


def test_table_tells_figures_from_the_frozen_mouth():
    row = {name: 0.5 for _, name, _ in quality._COLUMNS} | {"psnr_lip": 34.0, "lmd": 0.5, "offset_frames": 0.0}
    figures = {"generated": row, "frozen": row | {"psnr_lip": 30.5, "lmd": 1.0}}
    text = quality.table({"default": {"self": figures, "cross": figures}})
    header, _, line = text.splitlines()
    assert header.count("|") == line.count("|")
    assert "+3.5 dB" in line and "0.50" in line and line.startswith("| default |")


@pytest.mark.parametrize(
    "settings",
    [*quality.VARIANTS.values(), ("bundle.noise=0.1",), ("rasterizer=pytorch3d",), ("data.fps=30",)],
    ids=" ".join,
)
def test_settings_of_preprocessing_get_a_subject_of_their_own(settings, tmp_path):
    """`no-align` must not overwrite the subject of the default variant."""
    video, sound = tmp_path / "me.mp4", tmp_path / "me.wav"
    for path in (video, sound):
        path.touch()
    clip = Clip(video, "0", stamp(video), sound, 25.0)
    old, new = (
        [s.inputs for s in stages_of(default_config(x), clip, SubjectLayout(tmp_path))] for x in ([], list(settings))
    )
    assert (quality.subject_folder(list(settings)) != quality.subject_folder([])) == (old != new)


def test_missing_clip_is_refused(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "quality.py"), str(tmp_path / "none.mp4")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2 and "none.mp4 does not exist" in run.stderr


def test_the_soak_without_an_encoder_takes_what_live_rendering_gives_one():
    soak = importlib.import_module("benchmarks.soak")
    given = inspect.signature(LiveWriter.__init__).parameters.keys() - {"crf"}
    assert given <= inspect.signature(soak.NoWriter.__init__).parameters.keys()


def test_the_table_of_neighbours_gives_shares_of_what_a_training_does_alone():
    rows = {
        "alone": [10.0, 12.0, 11.0],
        "beside a busy program": [5.0, 5.5, 6.0],
        "beside another training": [4.4, 4.4, 4.0],
    }
    table = _script("neighbours").table(rows, "cpu")
    assert "| alone | 11.00 (10.00 to 12.00) | 100% |" in table
    assert "| beside a busy program | 5.50 (5.00 to 6.00) | 50% |" in table and "| 40% |" in table
