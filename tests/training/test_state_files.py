"""The files of a training: damaged states, folders in use, places that cannot be written; on the smallest subject."""

import cv2
import numpy as np
import pytest
import torch

from speech2lip.errors import UserError
from speech2lip.locks import writer_of
from speech2lip.model.checkpoint import load_tensors, save_tensors
from speech2lip.training import curves
from speech2lip.training.trainer import Trainer, _keep, fit
from tests.fuzz import seeds


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """(configuration, sound bytes of last.pt after one step)."""
    root = tmp_path_factory.mktemp("begun")
    seeds.make_subject(root)
    config = seeds.config_for(root)
    trainer = Trainer(config)
    trainer.progress.step = trainer.progress.phase_step = 1
    trainer.save()
    return config, trainer.state_file.read_bytes(), trainer


def _nan(content):
    next(v for v in content["parts"]["model"].values() if v.is_floating_point() and v.numel())[..., 0] = torch.nan


DAMAGES = {
    "parts": (lambda c: c.pop("parts"), "lacks parts"),
    "a model over it": (lambda c: c.update(state=c.pop("parts")), "a finished model"),
    "part": (lambda c: c["parts"].pop("average"), "average"),
    "step": (lambda c: c["progress"].update(step=-1), "step is -1"),
    "elapsed": (lambda c: c["progress"].update(elapsed=float("nan")), "elapsed"),
    "average shape": (lambda c: c["parts"]["average"].update({next(iter(c["parts"]["average"])): torch.ones(2)}), "averaged"),
    "nan": (_nan, "no number"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_states_are_refused_by_name(begun, damage):
    _, sound, trainer = begun
    change, named = DAMAGES[damage]
    trainer.state_file.write_bytes(sound)
    content = load_tensors(trainer.state_file, "")
    change(content)
    save_tensors(trainer.state_file, content)
    with pytest.raises(UserError, match=named) as refused:
        trainer._restore()
    assert "last.pt" in str(refused.value) and "--fresh" in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_in_use_is_refused_before_anything_is_read(begun):
    config, *_, trainer = begun
    for folder in (trainer.folder, trainer.context.index.layout.root):
        with writer_of(folder, "another run"), pytest.raises(UserError, match="in use by another run"):
            fit(config)


def test_a_place_that_cannot_be_written_is_found_before_anything_is_read(begun, tmp_path, change):
    (tmp_path / "log").write_text("a file")
    config = change(begun[0], train={"output": str(tmp_path / "log")}, data={"root": str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match=r"cannot write .*model\.pt"):
        fit(config)


def test_tensorboard_reads_the_curves(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    drawn = curves.Curves(tmp_path)
    drawn.add_scalar("loss", 1.5, 3)
    drawn.add_image("mouth", torch.tensor([1.0, 0.5, 0.0])[:, None, None].expand(3, 4, 6), 3)
    drawn.close()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(3, 1.5)]
    (picture,) = events.Images("mouth")
    assert (picture.height, picture.width) == (4, 6)
    pixels = cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert pixels[0, 0].tolist() == [0, 128, 255]  # blue, green, red


def test_curves_that_cannot_be_written_do_not_end_a_training(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    drawn = curves.Curves(tmp_path / "curves")
    drawn.add_scalar("a", 1.0, 1)
    drawn._stream.close()
    drawn._stream = drawn._records._writer = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    drawn.add_scalar("a", 1.0, 2)
    drawn.add_scalar("a", 1.0, 3)
    drawn.close()
    assert capsys.readouterr().err.count("training goes on without curves") == 1


def test_the_model_is_never_missing_while_it_is_replaced(tmp_path):
    model, earlier = tmp_path / "model.pt", tmp_path / "model.prev.pt"
    model.write_text("new")
    earlier.write_text("old")
    _keep(model, earlier)
    assert model.read_text() == earlier.read_text() == "new"
