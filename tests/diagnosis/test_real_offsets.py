"""Planted offsets on real people, where their clips lie beside the repository."""

import numpy as np
import pytest

from speech2lip.config import default_config
from speech2lip.media.sound import load_audio
from speech2lip.preparation.learnable import lip_opening, rows_of
from speech2lip.preparation.offset import estimate_offset
from speech2lip.preparation.pipeline import find_face
from speech2lip.preparation.sound import moved
from speech2lip.subject.layout import SubjectLayout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["people/bow_tie_19s", "people/dark_hair_19s", "people/bearded_12s", "jfk_18s"])
def test_planted_offsets_are_found_on_real_people(name, clips, tmp_path):
    """Beside the offset that the clip has of its own."""
    video = clips / f"{name}.mp4"
    clip, config = find_face(default_config([f"data.root={tmp_path}"]), video, None, "")
    opening, _ = lip_opening(SubjectLayout(tmp_path).load_landmarks())
    wav, fps = load_audio(clip.sound), config.data.fps

    def found(late: float) -> float:
        offset = estimate_offset(opening, rows_of([moved(wav, -late / fps)], fps, len(opening)), fps)
        assert offset.clear
        return offset.frames

    own = found(0)
    np.testing.assert_allclose([found(k) - own for k in range(-6, 7)], range(-6, 7), atol=1)
