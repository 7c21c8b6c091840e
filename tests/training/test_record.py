"""What a training shows in its folder."""

from __future__ import annotations

import cv2
import torch

from speech2lip.training.record import CURVES, PREVIEW, Record, Together, curves_in


def test_curves_go_on_after_an_interruption_and_begin_anew_with_a_training(tmp_path):
    for step, fresh in ((1, True), (2, False)):
        record = Record(tmp_path, fresh)
        record.add_scalar("training/total", 1 / step, step)
        record.add_scalar("validation/opening_r", 0.5, step)
        record.close()
    assert curves_in(tmp_path / CURVES) == {
        "training/total": [(1, 1.0), (2, 0.5)],
        "validation/opening_r": [(1, 0.5), (2, 0.5)],
    }
    (tmp_path / PREVIEW).write_bytes(b"old")
    Record(tmp_path, fresh=True).close()
    assert curves_in(tmp_path / CURVES) == {} and not (tmp_path / PREVIEW).exists()


def test_rows_that_are_half_written_are_left_out(tmp_path):
    (tmp_path / CURVES).write_text("curve,step,value\na,1,2.5\na,2\nb,x,3\na,3,nan\nc,4,1e")
    found = curves_in(tmp_path / CURVES)
    assert list(found) == ["a"] and found["a"][0] == (1, 2.5)
    assert curves_in(tmp_path / "nowhere.csv") == {}


def test_the_preview_is_the_newest_picture(tmp_path):
    record = Record(tmp_path, fresh=True)
    for level in (0.0, 1.0):
        record.add_image("validation", torch.tensor([level, 0.5, 0.0])[:, None, None].expand(3, 32, 48), 1)
    picture = cv2.imread(str(tmp_path / PREVIEW))
    assert picture.shape == (32, 48, 3) and picture[16, 24, 2] > 245 and picture[16, 24, 0] < 10


def test_what_cannot_be_written_does_not_end_a_training(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    record = Record(tmp_path / "file", fresh=True)
    both = Together(record, record)
    both.add_scalar("a", 1.0, 1)
    both.add_image("a", torch.zeros(3, 4, 4), 1)
    both.close()
    assert capsys.readouterr().err.count("training goes on without curves.csv") == 1
