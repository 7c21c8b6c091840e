"""Damaged checkpoints are refused before their networks take memory."""

import resource
import zipfile

import pytest
import torch

from speech2lip.errors import UserError
from speech2lip.model.checkpoint import load_checkpoint, load_tensors, save_tensors
from tests.fuzz import seeds


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = tmp_path_factory.mktemp("sound")
    return seeds.make_model(root, seeds.make_subject(root))


def _wide(content):
    content["config"]["model"]["lip"] |= {"width": 8192, "layers": 32}


def _huge(content):
    content["config"]["model"]["lip"]["width"] = 10**8


def _nan(content):
    next(v for v in content["state"].values() if v.is_floating_point() and v.numel())[..., 0] = torch.nan


def _expanded(content):
    name = next(k for k, v in content["state"].items() if v.dim() == 2)
    content["state"][name] = torch.zeros(1).expand(content["state"][name].shape)


DAMAGES = {
    "config": (lambda c: c.pop("config"), "lacks config"),
    "state": (lambda c: c.pop("state"), "lacks state"),
    "metadata": (lambda c: c["metadata"].pop("fps"), "metadata"),
    "crop": (lambda c: c["metadata"].update(crop_size=10**6), "crop_size"),
    "audio": (lambda c: c["metadata"]["audio"].update(window=10**7), "window"),
    "rest": (lambda c: c["metadata"].update(rest=[0.0] * 6), "its rest pose has 6 numbers"),
    "odd rest": (lambda c: c["metadata"].update(rest=[0.0] * 7), "two numbers"),
    "rest that is no number": (lambda c: c["metadata"].update(rest=[float("nan")] * 8), "rest"),
    "agreement": (lambda c: c["metadata"].update(agreement=2.0), "agreement"),
    "wide": (_wide, "needed are|missing"),
    "huge": (_huge, "model.lip.width"),
    "levels": (lambda c: c["config"]["model"]["blend"].update(widths=[8] * 10**5), "widths"),
    "nan": (_nan, "no number"),
    "expanded": (_expanded, "larger than what is stored"),
    "weight": (lambda c: c["state"].popitem(), "is missing"),
    "state of a training": (lambda c: c.update(parts=c.pop("state")), "not its model"),
    "format": (lambda c: c.update(format="speech2lip-9"), "speech2lip-9"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_by_name(sound, tmp_path, damage):
    change, named = DAMAGES[damage]
    content, before = load_tensors(sound, ""), resource.getrusage(resource.RUSAGE_SELF)
    change(content)
    save_tensors(tmp_path / "model.pt", content)
    with pytest.raises(UserError, match=named) as refused:
        load_checkpoint(tmp_path / "model.pt")
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 5 and after.ru_maxrss - before.ru_maxrss < 200_000
    assert "model.pt" in str(refused.value) and "\n" not in str(refused.value)


def test_a_flipped_bit_in_a_weight_is_noticed(sound, tmp_path):
    data = bytearray(sound.read_bytes())
    with zipfile.ZipFile(sound) as archive:
        weights = max(archive.infolist(), key=lambda info: info.file_size)
    data[weights.header_offset + weights.file_size // 2] ^= 1
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(UserError, match="checksum"):
        load_checkpoint(tmp_path / "model.pt")


def test_the_same_weights_are_the_same_file(sound, tmp_path):
    content = load_tensors(sound, "")
    for name in ("a.pt", "b.pt"):
        save_tensors(tmp_path / name, content)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert load_checkpoint(sound).metrics == {"psnr": 20.0, "steps": 10.0}


def test_a_model_from_before_the_regression_has_none(sound, tmp_path):
    content = load_tensors(sound, "")
    content["state"] = {k: v for k, v in content["state"].items() if not k.startswith("regression.")}
    del content["config"]["model"]["lip"]["regression"]
    save_tensors(tmp_path / "old.pt", content)
    old = load_checkpoint(tmp_path / "old.pt")
    assert old.model.regression is None and old.config.model.lip.regression == 0
    assert load_checkpoint(sound).model.regression is not None
