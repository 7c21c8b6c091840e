"""What a rendered frame costs, counted in multiply-adds of the networks, not timed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from speech2lip.audio.features import make_backend
from speech2lip.config import load_config
from speech2lip.model.builder import build_model
from speech2lip.model.metadata import ModelMetadata
from speech2lip.nets.compositor import ObservedRegion
from speech2lip.nets.published import PublishedFaces, PublishedNets, lip_mask

LIP, FACE, REGION = (120, 80), 500, 176  # the May configuration; a region that holds its warped mask
BUDGET = {
    "tiny": 0.25e9,
    "fast": 0.65e9,
    "faithful": 15.5e9,
}  # multiply-adds per frame; the published networks need 85e9


def _published() -> float:
    net, ticks = PublishedNets(LIP).eval(), torch.linspace(-1, 1, FACE)
    grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1)[None]
    picture = torch.rand(1, 3, FACE, FACE)
    faces = PublishedFaces(picture, picture, lip_mask(FACE, FACE, LIP, 190, 330), grid, 190, 330)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        lip = net.lip({"audio": net.encoder(torch.randn(1, 16, 29)), "time": torch.randn(1, 20)})
        net.fuse_whole(lip, faces)
    return counter.get_total_flops() / 2


def _ours(preset: str, batch: int = 8) -> float:
    config = load_config(preset)
    features = make_backend(config.audio)
    metadata = ModelMetadata(LIP, (190, 330, *LIP), FACE, (1100.0, 249.5, 249.5), features.params(), 25.0, 57)
    model = build_model(config, metadata).eval()
    region = ObservedRegion(
        torch.rand(batch, 3, REGION, REGION), torch.full((batch, 2), 160.0), torch.eye(4).expand(batch, 4, 4),
        torch.tensor([[1.0] * 3, [0.0] * 3]).expand(batch, 2, 3),
    )  # fmt: skip
    embedding = config.model.lip.embedding * len(features.streams)
    with torch.no_grad():
        model.decode_lips(
            torch.randn(batch, embedding), torch.randn(batch, 12), region.transform
        )  # what is computed once per subject
        with FlopCounterMode(display=False) as counter:
            windows = torch.randn(batch, features.window, features.channels)
            heard, codes = model.encode_audio(windows, torch.arange(batch))
            model.composite(model.decode_lips(heard, codes, region.transform), region, torch.full((FACE, FACE), 900.0))
    return counter.get_total_flops() / 2 / batch


@pytest.mark.parametrize("preset", BUDGET)
def test_a_frame_costs_no_more_than_its_budget(preset):
    cost = _ours(preset)
    assert 0.5 * BUDGET[preset] < cost <= BUDGET[preset], f"{preset}: {cost:.3g} multiply-adds per frame"


def test_presets_are_far_below_the_published_cost():
    assert _published() > 4 * _ours("faithful") > 16 * _ours("fast") > 32 * _ours("tiny")
