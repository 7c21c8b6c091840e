"""The Python interface, as README shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import speech2lip
from speech2lip.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "train.steps": 8, "train.batch": 2, "train.articulate": 1.0, "model.lip.width": 32, "model.lip.layers": 2,
    "model.lip.skip_after": 0, "model.blend.widths": [8, 8, 8], "data.test_fraction": 0.2,
}  # fmt: skip


def test_importing_the_package_is_cheap():
    code = "import sys, speech2lip; print(sorted(m for m in ('torch', 'cv2', 'numpy', 'yaml') if m in sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        == "[]\n"
    )


def test_every_public_name_is_there():
    assert set(speech2lip.__all__) <= set(dir(speech2lip))
    assert all(getattr(speech2lip, name).__doc__ for name in speech2lip.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = speech2lip.nonsense


@pytest.mark.slow
def test_readme_example_runs(subject_config, clip, tmp_path, monkeypatch):
    """The lines of README on files of those names; training is cut short."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    monkeypatch.chdir(tmp_path)
    Path("me.mp4").symlink_to(clip / "speaker.mp4")
    Path("speech.wav").symlink_to(clip / "speaker.wav")
    code = code.replace("minutes=30", f"settings={SETTINGS!r}")
    exec(compile(code, "README.md", "exec"), {})
    assert Path("result.mp4").stat().st_size > 10_000 and Path("log/me/model.pt").is_file()


def test_unusable_input_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"none\.mp4"):
        speech2lip.preprocess(tmp_path / "none.mp4", tmp_path / "me")
    with pytest.raises(UserError, match=r"train\.bach"):
        speech2lip.train(tmp_path, tmp_path / "log", settings={"train.bach": 3})
    with pytest.raises(UserError, match=r"none\.wav"):
        speech2lip.render(tmp_path / "model.pt", tmp_path / "none.wav", tmp_path / "out.mp4")
