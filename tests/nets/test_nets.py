from dataclasses import replace

import numpy as np
import pytest
import torch

from speech2lip.geometry.camera import Intrinsics
from speech2lip.nets.audio_encoder import PUBLISHED_CONVOLUTIONS, AudioEncoder
from speech2lip.nets.blend import BlendNet
from speech2lip.nets.compositor import CanonicalSpace, ObservedRegion, black_holes, cropped, merge
from speech2lip.nets.encodings import frame_encoding, frequency_encoding, lattice
from speech2lip.nets.lip import ImplicitField, LipModel
from speech2lip.nets.shape import ShapeBasis
from speech2lip.nets.sync import SyncExpert


def test_frequency_encoding_values():
    out = frequency_encoding(torch.tensor([[0.5, 1.0]]), 2)
    s, c = np.sin, np.cos
    expected = [0.5, 1, s(0.5), s(1), c(0.5), c(1), s(1), s(2), c(1), c(2)]
    torch.testing.assert_close(out, torch.tensor([expected], dtype=torch.float32))
    assert frequency_encoding(torch.zeros(3, 2), 10).shape == (3, 42)


def test_frame_encoding_values():
    out = frame_encoding(torch.tensor([7]), 20)
    assert out.shape == (1, 20)
    torch.testing.assert_close(out[0, 2:4], torch.tensor([np.sin(7 / 10000**0.1), np.cos(7 / 10000**0.1)]).float())


def test_published_encoder_has_the_published_size():
    encoder = AudioEncoder(16, 29, PUBLISHED_CONVOLUTIONS, 64)
    assert encoder(torch.zeros(2, 16, 29)).shape == (2, 64)
    expected = (29 * 32 + 32 * 32 + 32 * 64 + 64 * 64) * 3 + 32 + 32 + 64 + 64 + 2 * (64 * 64 + 64)
    assert sum(p.numel() for p in encoder.parameters()) == expected


def test_field_with_shared_terms_equals_the_plain_computation(monkeypatch):
    monkeypatch.setattr("speech2lip.nets.lip._CACHED_ROWS", 4)  # two points of two frames at a time
    torch.manual_seed(0)
    field = ImplicitField({"uv": 4, "audio": 3}, 8, 4, 1, 3)
    uv, audio = torch.randn(5, 4), torch.randn(2, 3)
    out = field(uv, {"audio": audio})
    for b in range(2):
        for n in range(5):
            h = field.inputs["uv"](uv[n]) + field.inputs["audio"](audio[b])
            for i, layer in enumerate(field.hidden):
                h = torch.relu(layer(h))
                if i == 1:
                    h = torch.cat([field.skip_inputs["uv"](uv[n]) + field.skip_inputs["audio"](audio[b]), h])
            torch.testing.assert_close(out[b, n], field.output(h), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("upsample", [1, 2, 4])
@pytest.mark.parametrize("ensemble", ["center", "corners"])
def test_lip_image_has_its_size_and_follows_its_conditions(upsample, ensemble):
    torch.manual_seed(0)
    model = LipModel((24, 16), {"audio": 4, "shape": 2}, 16, 3, 0, 4, upsample, 8, ensemble)
    image = model({"audio": torch.randn(3, 4), "shape": torch.randn(3, 2)})
    assert image.shape == (3, 3, 16, 24)
    assert (image[0] - image[1]).abs().max() > 1e-6


def test_training_and_use_sample_the_same_positions():
    model = LipModel((8, 8), {"audio": 4}, 16, 3, 0)
    audio = {"audio": torch.randn(1, 4)}
    torch.testing.assert_close(model.train()(audio), model.eval()(audio))


def test_corner_ensemble_of_a_linear_field_is_its_centre():
    """The mean of four symmetric samples of a linear function is its value in the middle."""
    model = LipModel((9, 7), {"audio": 1}, 4, 2, 0, frequencies=0, ensemble="corners")
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.field.inputs["uv"].weight[0] = torch.tensor([2.0, 3.0])
        model.field.inputs["uv"].bias[0] = 5.0
        for layer in model.field.hidden:
            layer.weight[0, layer.in_features - 4] = 1.0  # the hidden half of a skip
        model.field.output.weight[0, 0] = 1.0
    image = model({"audio": torch.zeros(1, 1)})[0, 0]
    centre = (lattice(9, 7) @ torch.tensor([2.0, 3.0]) + 5).reshape(7, 9)
    torch.testing.assert_close(image[1:-1, 1:-1], centre[1:-1, 1:-1])


def test_lattice_order_is_rows_then_columns():
    torch.testing.assert_close(lattice(3, 2)[:4], torch.tensor([[0.0, 0], [0.5, 0], [1, 0], [0, 1]]))


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_residual_blend_net_starts_as_identity(unshuffle):
    image = torch.rand(2, 4, 16, 16)
    torch.testing.assert_close(BlendNet(4, (8, 8, 8), False, True, unshuffle)(image), image[:, :3])


def test_published_blend_net_has_the_published_size():
    net = BlendNet(3, (64, 128, 128), True, False)
    assert net(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)
    pairs = [
        (3, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 128),
        (128, 128),
        (256, 128),
        (128, 64),
        (128, 64),
        (64, 64),
    ]
    assert sum(p.numel() for p in net.parameters()) == sum(9 * a * b + 2 * b for a, b in pairs) + 64 * 3 + 3


# ---------------------------------------------------------------- compositor


def _space(size=64):
    mask = torch.zeros(size, size)
    mask[34:50, 20:44] = 1
    mask[34:50, 20] = mask[34:50, 43] = 0.5
    return CanonicalSpace(
        torch.full((size, size), 600.0), torch.ones(size, size), mask, Intrinsics(400.0, 31.5, 31.5), (20, 34, 24, 16)
    )


def _region(origin, transform=None, gain=1.0, offset=0.0, size=32):
    torch.manual_seed(1)
    image = torch.rand(1, 3, size, size)
    colour = torch.stack([torch.full((3,), gain), torch.full((3,), offset)])[None]
    transform = torch.eye(4)[None] if transform is None else transform
    return ObservedRegion(image, torch.tensor([origin], dtype=torch.float32), transform, colour)


def test_lips_land_on_their_box_pixel_by_pixel():
    """Canonical pose, lip image of the box's own size: every lip pixel appears where the box has it."""
    lip = torch.rand(1, 3, 16, 24)
    picture, mask = _space().paste(lip, _region((16, 26)))
    torch.testing.assert_close(picture[0, :, 8:24, 4:28], lip[0], atol=1e-4, rtol=0)
    assert mask[0, 0, 8:24, 5:27].min() > 0.999 and mask[0, 0, :7].max() == 0


def test_moving_the_head_moves_the_lips_by_the_projected_amount():
    """6 mm to the right at 600 mm with focal length 400: 4 pixels."""
    transform = torch.eye(4)[None].clone()
    transform[0, 0, 3] = 6.0
    lip = torch.rand(1, 3, 16, 24)
    picture, _ = _space().paste(lip, _region((16, 26), transform))
    torch.testing.assert_close(picture[0, :, 8:24, 9:31], lip[0, :, :, 1:23], atol=1e-4, rtol=0)


def test_exposure_of_the_observed_frame_is_applied():
    lip = torch.full((1, 3, 16, 24), 0.5)
    picture, _ = _space().paste(lip, _region((16, 26), gain=1.2, offset=-0.1))
    torch.testing.assert_close(picture[0, :, 12, 12], torch.full((3,), 0.5))


def test_pixels_outside_the_mask_stay_bit_exact():
    region = _region((16, 26))
    picture, mask = _space().paste(torch.rand(1, 3, 16, 24), region)
    out = merge(torch.rand_like(region.image), merge(picture, region.image, mask), mask)
    assert torch.equal(out[(mask == 0).expand_as(out)], region.image[(mask == 0).expand_as(out)])
    assert (out != region.image).any()


def test_a_part_of_a_region_is_pasted_as_the_whole_is():
    space, lip = _space(), torch.rand(1, 3, 16, 24)
    turned = torch.eye(4)[None].clone()
    turned[0, 0, 3] = 4.5
    region = _region((16, 26), turned, gain=1.1, offset=0.05)
    region = replace(region, canonical=space.to_canonical(region), face=torch.rand(1, 2, 8, 8))
    picture, mask = space.paste(lip, region)
    rows, columns = slice(5, 20), slice(3, 30)
    part = cropped(region, rows, columns)
    assert part.image.shape == (1, 3, 15, 27) and part.origin.tolist() == [[19, 31]]
    torch.testing.assert_close(space.paste(lip, part), (picture[:, :, rows, columns], mask[:, :, rows, columns]))


def test_black_holes_swap_pixels_and_lose_none():
    torch.manual_seed(0)
    a, b = torch.rand(8, 3, 16, 16), torch.rand(8, 3, 16, 16)
    x, y = black_holes(a, b, 1.0)
    torch.testing.assert_close(x + y, a + b)
    assert 0.01 < (x != a).float().mean() < 0.3
    assert torch.equal(black_holes(a, b, 0.0)[0], a)


def test_learnable_depth_moves_outside_the_face_only():
    face = torch.zeros(64, 64)
    face[16:48, 16:48] = 1
    space = CanonicalSpace(
        torch.full((64, 64), 600.0), face, torch.zeros(64, 64), Intrinsics(400.0, 31.5, 31.5), (20, 34, 24, 16)
    )
    with torch.no_grad():
        space.depth_change += 1.0
    depth = space.depth()
    assert torch.equal(depth[24:40, 24:40], torch.full((16, 16), 600.0))
    torch.testing.assert_close(depth[0, 0], torch.tensor(610.0))


# ---------------------------------------------------------------- shape, sync


def test_shape_basis_round_trip_and_unit_variance():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(500, 3)) * [5, 2, 1]
    points = torch.from_numpy(latent @ rng.normal(size=(3, 114)) + rng.normal(size=114)).float().reshape(500, 57, 2)
    basis = ShapeBasis(3, 57)
    basis.fit(points)
    codes = basis.encode(points)
    torch.testing.assert_close(basis.decode(codes), points, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(codes.std(0, correction=0), torch.ones(3), atol=1e-2, rtol=0)
    assert basis.weights.sum().item() == pytest.approx(1) and basis.scale[0] > basis.scale[2]


def test_sync_embeddings_have_unit_length():
    expert = SyncExpert(5, 24, 80, 8)
    lips, audio = expert.embed_lips(torch.rand(3, 15, 40, 56)), expert.embed_audio(torch.randn(3, 24, 80))
    torch.testing.assert_close(lips.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(audio.norm(dim=1), torch.ones(3))
    assert lips.shape == audio.shape


def test_folded_batch_norm_changes_no_result_and_pieces_neither(monkeypatch):
    torch.manual_seed(0)
    net = BlendNet(4, [8, 12, 12], norm=True, residual=False, unshuffle=2)
    for _ in range(3):  # statistics that differ from 0 and 1
        net(torch.rand(2, 4, 16, 16) * 2 + 1)
    net.eval()
    image = torch.rand(5, 4, 16, 16)
    with torch.no_grad():
        whole = net(image)
        monkeypatch.setattr("speech2lip.nets.blend._CACHED_VALUES", 8 * 8 * 8 * 2)  # two frames at a time
        torch.testing.assert_close(net(image), whole)
        net.fold_norm()
        torch.testing.assert_close(net(image), whole, atol=1e-5, rtol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
