"""MediaPipe as it is loaded."""

import subprocess
import sys
import textwrap

import pytest


def test_mediapipe_comes_without_tensorflow_which_can_still_be_had(tmp_path):
    """A package of that name is there; MediaPipe alone would load it."""
    pytest.importorskip("mediapipe")
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("print('TensorFlow was loaded')\n")
    code = """
        import sys
        from speech2lip.detection import detect
        detect._mediapipe()
        assert "tensorflow" not in sys.modules
        print("without")
        import tensorflow
    """
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{textwrap.dedent(code)}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["without", "TensorFlow was loaded"] and "tensorflow" not in run.stderr
