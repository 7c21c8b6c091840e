import numpy as np
import pytest
import torch

from speech2lip.metrics.lse import SHIFT, crop_for_syncnet, measure_sync, score
from speech2lip.nets.pretrained.syncnet import SyncNet
from speech2lip.weights import registry
from speech2lip.weights.loaders import load_syncnet


@pytest.mark.parametrize("lag", [-4, 0, 3])
def test_offset_is_found_and_confidence_is_median_less_minimum(lag):
    """Sound that comes `lag` frames late has offset -lag, as SyncNet counts."""
    torch.manual_seed(0)
    faces = torch.randn(60, 16)
    sounds = torch.roll(faces, lag, 0)
    found = score(faces, sounds)
    assert found.offset == -lag
    expected = []
    for shift in range(-SHIFT, SHIFT + 1):
        moved = torch.zeros_like(sounds)
        for t in range(60):
            if 0 <= t + shift < 60:
                moved[t] = sounds[t + shift]
        expected.append(torch.nn.functional.pairwise_distance(faces, moved).mean())
    expected = torch.stack(expected)
    assert found.distance == pytest.approx(expected.min().item(), rel=1e-5)
    assert found.confidence == pytest.approx((expected.median() - expected.min()).item(), rel=1e-5)


def test_whole_measurement_with_random_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path))
    torch.manual_seed(0)
    path = registry.find("syncnet").file
    path.parent.mkdir(parents=True)
    torch.save(SyncNet().state_dict(), path)
    rng = np.random.default_rng(0)
    frames, wav = rng.integers(0, 255, (12, 224, 224, 3), dtype=np.uint8), rng.normal(0, 0.1, 8000).astype(np.float32)
    found = measure_sync(load_syncnet(), frames, wav)
    assert np.isfinite([found.confidence, found.distance]).all() and -SHIFT <= found.offset <= SHIFT
    with pytest.raises(ValueError, match="too short"):
        measure_sync(load_syncnet(), frames[:4], wav)


def test_crop_keeps_the_mouth_and_pads_outside():
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[100:120, 90:110] = 255
    crop = crop_for_syncnet(frame, np.array([60.0, 40, 80, 80]))
    assert crop.shape == (224, 224, 3) and crop.max() == 255
    edge = crop_for_syncnet(frame, np.array([-20.0, -20, 60, 60]))
    assert (edge[0, 0] == 110).all()
