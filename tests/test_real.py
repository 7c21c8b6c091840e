"""Real material, when it lies beside the repository; slow ones train."""

from pathlib import Path

import numpy as np
import pytest

from speech2lip.config import default_config
from speech2lip.detection.shots import find_shots, thumbnail
from speech2lip.evaluation.run import evaluate
from speech2lip.media.decode import read_frames
from speech2lip.preparation.pipeline import preprocess
from speech2lip.training.trainer import Trainer


def test_cuts_of_a_broadcast_are_found(clips: Path):
    """The newsreader clip is cut at 7.04 s and 57.16 s (and has two jump cuts between)."""
    thumbs = np.stack([thumbnail(f) for f in read_frames(clips / "newsreader_71s.mp4", 25.0, 160)])
    starts = [start for start, _ in find_shots(thumbs)]
    assert {176, 1429} <= set(starts) and len(starts) <= 6


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_forty_minutes_on_a_real_speaker(clips: Path, tmp_path: Path):
    config = default_config(
        ["name=grid", f"data.root={tmp_path / 'grid'}", f"train.output={tmp_path / 'log'}", "train.minutes=40"]
    )
    preprocess(config, clips / "grid_s1.mp4")
    assert Trainer(config).run()
    rows = evaluate(tmp_path / "log" / "grid" / "model.pt", tmp_path / "grid", protocols=("self",))["self"].rows
    assert rows["generated"]["opening_r"] >= 0.8
    assert rows["generated"]["articulation"] >= 0.7
    assert rows["generated"]["psnr_lip"] > rows["frozen"]["psnr_lip"]
