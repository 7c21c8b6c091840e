"""Real mouths, warped to a wanted shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speech2lip.facemesh import LIPS, LIPS_OUTER, MOUTH
from speech2lip.geometry.camera import pixel_lattice
from speech2lip.metrics.texture import polygon_area
from speech2lip.nets.exemplars import ExemplarBank, Mouths, Pictures, Warped, enlarged, thin_plates
from speech2lip.nets.shape import ShapeBasis

WIDTH, HEIGHT, COARSE = 128, 96, 4
POINTS = len(MOUTH)


def _landmarks() -> torch.Tensor:
    """An ellipse of lips, twice, and a chin below."""
    turn = torch.linspace(0, 2 * np.pi, POINTS + 1)[:-1]
    return torch.stack([64 + 30 * turn.cos(), 45 + 15 * turn.sin()], 1)


def _moves() -> torch.Tensor:
    """One code moves everything down by 6 pixels, the other stretches by 8 across, at the ellipse's ends."""
    points = _landmarks()
    down = torch.stack([torch.zeros(POINTS), torch.full((POINTS,), 6.0)], 1)
    wide = torch.stack([8 * (points[:, 0] - 64) / 30, torch.zeros(POINTS)], 1)
    return torch.stack([down, wide])


def _mouth(code: torch.Tensor) -> torch.Tensor:
    """A spot on the right end of the ellipse, moved as the code says: [3, h, w] uint8."""
    centre = _landmarks()[0] + (code[:, None] * _moves()[:, 0]).sum(0)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    spot = torch.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 18)
    return (spot * 255).round().byte().expand(3, -1, -1)


@pytest.fixture
def bank() -> ExemplarBank:
    codes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    found = ExemplarBank(4, (WIDTH, HEIGHT), 2, apart=25, coarse=COARSE)
    found.measure(_moves())
    frames = torch.tensor([0, 100, 200, 300])
    mouths = Mouths(torch.stack([_mouth(c) for c in codes]), codes, torch.zeros(4, 3), frames)
    found.fit(mouths, _landmarks(), _moves())
    return found


def test_a_mouth_as_open_is_preferred_to_one_a_little_nearer():
    """Code 1 opens the lips: mouths at 0.4 and -0.7 away in it, the nearer one shut."""
    gaps = {0.0: 0.1, -0.4: 0.0, 0.7: 0.12}

    def gap(codes: torch.Tensor) -> torch.Tensor:
        return torch.tensor([gaps[round(float(c), 1)] for c in codes[:, 1]])

    found = []
    for known in (None, gap):
        bank = ExemplarBank(2, (WIDTH, HEIGHT), 2, apart=25, coarse=COARSE, gap=known)
        bank.measure(_moves())
        bank.codes.copy_(torch.tensor([[0.0, -0.4], [0.0, 0.7]]))
        found.append(int(bank.choose(torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1, dtype=torch.bool))))
    assert found == [0, 1]


def test_the_gap_of_a_shape_is_that_of_its_landmarks():
    """Against the area that evaluation measures, of the landmarks that codes stand for."""
    rng = np.random.default_rng(3)
    points = rng.normal(0, 20, (40, POINTS, 2)).cumsum(0) + 200
    basis = ShapeBasis(6, POINTS)
    basis.fit(torch.from_numpy(points))
    codes = torch.from_numpy(rng.normal(0, 1, (5, 6))).float()
    wanted = polygon_area(basis.decode(codes)[:, len(LIPS_OUTER) : len(LIPS)].double().numpy())
    assert np.allclose(basis.gap(codes), wanted, rtol=1e-3, atol=0.5)


def _fine(seen: Warped | Pictures) -> torch.Tensor:
    """The whole of what is seen, at full resolution."""
    return seen.at(pixel_lattice(WIDTH, HEIGHT, torch.device("cpu"))[None], 1)


def _centre(picture: torch.Tensor) -> torch.Tensor:
    weight = picture[0].clamp(min=0.2) - 0.2
    y, x = torch.meshgrid(torch.arange(picture.shape[1]), torch.arange(picture.shape[2]), indexing="ij")
    return torch.stack([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def test_an_exemplars_own_shape_gives_it_unchanged(bank):
    picture = _fine(bank(bank.codes[2:3], torch.zeros(1, 3)))
    torch.testing.assert_close(picture[0], bank.images[2].float() / 255, atol=2e-3, rtol=0)


@pytest.mark.parametrize("code", [(0.4, 0.0), (0.0, 0.45), (0.7, 0.3), (-0.6, -0.8)])
def test_the_nearest_exemplar_is_moved_to_where_the_wanted_shape_has_it(bank, code):
    wanted = torch.tensor([code])
    picture = _fine(bank(wanted, torch.zeros(1, 3)))[0]
    there = _landmarks()[0] + (wanted[0, :, None] * _moves()[:, 0]).sum(0)
    assert (_centre(picture) - there).abs().max() < 0.8
    assert picture.max() > 0.8


def test_the_coarse_picture_is_the_fine_one_made_smaller(bank):
    wanted, turn = torch.tensor([[0.5, 0.2]]), torch.zeros(1, 3)
    shrunk = torch.nn.functional.avg_pool2d(_fine(bank(wanted, turn)), COARSE)
    coarse = bank(wanted, turn).small
    assert (coarse - shrunk).abs().mean() < 0.01
    assert (_centre(coarse[0]) - _centre(shrunk[0])).abs().max() < 0.1


def test_a_training_frame_never_sees_its_own_mouth_or_its_neighbours(bank):
    wanted = bank.codes[1:2]
    torch.manual_seed(0)
    for frame in (80, 100, 125):
        picture = _fine(bank(wanted, torch.zeros(1, 3), torch.tensor([frame])))
        own = bank.images[1].float() / 255
        assert (picture[0] - own).abs().max() > 0.05
    picture = _fine(bank(wanted, torch.zeros(1, 3), torch.tensor([126])))
    torch.testing.assert_close(picture[0], bank.images[1].float() / 255, atol=2e-3, rtol=0)


def test_of_mouths_shaped_alike_that_of_a_head_turned_alike_is_preferred(bank):
    bank.codes[3] = 0.0
    bank.turns.copy_(torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 3.0, 0]]))
    turned = _fine(bank(torch.zeros(1, 2), torch.tensor([[0.0, 3.0, 0]])))[0]
    ahead = _fine(bank(torch.zeros(1, 2), torch.zeros(1, 3)))[0]
    torch.testing.assert_close(ahead, bank.images[0].float() / 255, atol=2e-3, rtol=0)
    assert (turned - ahead).abs().max() > 0.05


def test_pictures_that_are_given_are_seen_as_they_are():
    given = Pictures(torch.rand(1, 3, HEIGHT, WIDTH), COARSE)
    torch.testing.assert_close(_fine(given), given.pictures)
    torch.testing.assert_close(given.small, torch.nn.functional.avg_pool2d(given.pictures, COARSE))


def test_places_between_are_found_where_they_are_known_more_coarsely(bank):
    """Every fourth pixel's place, enlarged, is where the pixels between lie."""
    whole = pixel_lattice(WIDTH, HEIGHT, torch.device("cpu"))
    middles = whole.reshape(HEIGHT // COARSE, COARSE, WIDTH // COARSE, COARSE, 2).mean((1, 3))[None]
    seen = bank(torch.tensor([[0.4, 0.3]]), torch.zeros(1, 3))
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(seen.at(middles, COARSE)[inner], _fine(seen)[inner], atol=0.02, rtol=0)
    picture = torch.rand(1, 2, 3, 3)
    assert enlarged(picture, 1) is picture


def test_plates_without_stiffness_follow_the_landmarks_and_hold_the_border():
    points, moves = _landmarks(), _moves()
    corners = torch.tensor([[0.0, 0.0], [WIDTH - 1.0, 0.0]])
    field = thin_plates(points, moves, torch.cat([points, corners]), (WIDTH, HEIGHT), stiffness=0)
    torch.testing.assert_close(field[:, :, :POINTS].transpose(1, 2), moves, atol=1e-3, rtol=0)
    assert field[:, :, POINTS:].abs().max() < 1e-3


def test_in_a_short_clip_the_mouth_farthest_in_time_is_taken(bank):
    """All are within a second; the wanted shape is that of the first, at whose frame it is trained."""
    bank.frames.copy_(torch.tensor([40, 41, 50, 44]))
    wanted, turn = bank.codes[:1].clone(), torch.zeros(1, 3)
    picture = _fine(bank(wanted, turn, torch.tensor([40])))
    bank.frames.copy_(torch.tensor([40, 41, 1000, 44]))  # the third, and it alone, is far
    torch.testing.assert_close(picture, _fine(bank(wanted, turn, torch.tensor([40]))))


def test_two_mouths_that_are_about_as_near_do_not_take_turns(bank):
    """Half-way between two, a little to and fro: the one before stays, whichever it is; what is clearly nearer is shown."""
    codes = torch.tensor([[0.5 + d, 0.0] for d in (0.02, -0.02, 0.02, -0.02, 0.0)])
    still = torch.zeros(len(codes), 3)
    assert len(set(bank(codes, still).index.tolist())) == 2  # the nearest alone changes
    silent = torch.ones(len(codes), dtype=torch.bool)
    assert bank.choose(codes, still, silent, 0).tolist() == [0] * 5
    assert bank.choose(codes, still, silent, 1).tolist() == [1] * 5
    assert len(set(bank.choose(codes, still, silent).tolist())) == 1
    assert torch.equal(bank.choose(codes, still, ~silent, 0), bank(codes, still).index), "who speaks shows the nearest"
    away = torch.tensor([[0.0, 0.0], [0.3, 0.0], [0.9, 0.0], [0.7, 0.0], [0.1, 0.0]])
    chosen = bank.choose(away, torch.zeros(5, 3), silent, 0)
    assert chosen.tolist() == [0, 0, 1, 1, 0]
    assert torch.equal(bank(away, torch.zeros(5, 3), chosen=chosen).index, chosen)


def test_frames_one_by_one_choose_as_all_at_once(bank):
    codes = torch.randn(40, 2, generator=torch.Generator().manual_seed(3))
    turns = torch.zeros(40, 3)
    silent = torch.arange(40) % 7 > 2
    together, before, single = bank.choose(codes, turns, silent).tolist(), None, []
    for code, rests in zip(codes, silent, strict=True):
        before = int(bank.choose(code[None], turns[:1], rests[None], before)[0])
        single.append(before)
    assert single == together and len(set(single)) > 2
