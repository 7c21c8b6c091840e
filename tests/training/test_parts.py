"""Steps in parts: their gradients are those of the whole, whoever computes them; numbers follow from the step alone."""

import threading

import numpy as np
import pytest
import torch
import torch.nn as nn

from speech2lip.errors import UserError
from speech2lip.nets.chance import Dropout, drawing_from, normal_like, uniform
from speech2lip.training import team as teams
from speech2lip.training.parts import Chance, Parts
from speech2lip.training.phases import NotFinite, Position
from speech2lip.training.team import Team
from speech2lip.training.trainer import Trainer

CPU = torch.device("cpu")


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def _square(data, target):
    def loss(net, part):
        own = slice(part.number * part.of(len(data)), (part.number + 1) * part.of(len(data)))
        error = (net(data[own]) - target[own]).square().mean()
        return error, {"error": error}

    return loss


def test_two_parts_make_the_step_of_the_whole_batch():
    data, target = torch.randn(8, 3), torch.randn(8, 1)
    whole, halves = _net(), _net()
    told = []
    for net, count in ((whole, 1), (halves, 2)):
        parts = Parts(Team(CPU), net, count, 0)
        told.append(parts.descend(torch.optim.SGD(net.parameters(), 0.1), Position(1, 0, 0, 0), _square(data, target)))
    assert told[0] == pytest.approx(told[1]) and set(told[0]) == {"error", "total"}
    for a, b, before in zip(whole.parameters(), halves.parameters(), _net().parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
        assert not torch.equal(a, before)


def test_parts_are_computed_at_the_same_time(monkeypatch):
    """Each waits for the other: one thread alone would wait for ever."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    together, net = threading.Barrier(2, timeout=20), _net()
    team = Team(CPU)

    def loss(net, part):
        together.wait()
        return net(torch.ones(4, 3)).mean(), {}

    try:
        Parts(team, net, 2, 0).descend(torch.optim.SGD(net.parameters(), 0.1), Position(1, 0, 0, 0), loss)
    finally:
        team.close()


def test_what_batch_norms_have_seen_is_the_mean_over_the_parts():
    net = nn.Sequential(nn.BatchNorm1d(2))
    data = torch.randn(8, 2) * 3 + 1

    def loss(net, part):
        return net(data[4 * part.number : 4 * part.number + 4]).square().sum(), {}

    Parts(Team(CPU), net, 2, 0).descend(torch.optim.SGD(net.parameters(), 0.1), Position(1, 0, 0, 0), loss)
    torch.testing.assert_close(net[0].running_mean, 0.1 * data.mean(0))
    halves = (data[:4].var(0) + data[4:].var(0)) / 2
    torch.testing.assert_close(net[0].running_var, 0.9 + 0.1 * halves)


@pytest.mark.parametrize("bad", ["loss", "slope"])
def test_a_step_without_a_usable_number_changes_nothing(bad):
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def loss(net, part):
        out = net(torch.randn(4, 2)).sum()
        return (out / 0 if bad == "loss" else (out - out.detach()).abs().sqrt()), {}

    with pytest.raises(NotFinite):
        Parts(Team(CPU), net, 2, 0).descend(torch.optim.AdamW(net.parameters()), Position(1, 0, 0, 0), loss)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_weights_that_are_held_do_not_move_by_an_earlier_gradient():
    net = _net()
    optimizer, parts = torch.optim.SGD(net.parameters(), 0.1, momentum=0.0), None
    parts = Parts(Team(CPU), net, 2, 0)
    loss = _square(torch.randn(8, 3), torch.randn(8, 1))
    parts.descend(optimizer, Position(1, 0, 0, 0), loss)
    net[0].requires_grad_(False)
    held, free = net[0].weight.clone(), net[2].weight.clone()
    parts.descend(optimizer, Position(2, 0, 0, 0), loss)
    assert torch.equal(net[0].weight, held) and not torch.equal(net[2].weight, free)


@pytest.mark.parametrize(
    "batch, wanted, size, count",
    [(8, 0, 1, 2), (7, 0, 1, 1), (4, 0, 1, 1), (8, 0, 2, 2), (8, 0, 4, 4), (8, 4, 2, 4), (8, 1, 1, 1), (6, 3, 1, 3)],
)
def test_into_how_many_parts(batch, wanted, size, count):
    team = Team(CPU)
    team.size = size
    assert team.parts(batch, wanted) == count
    numbers = []
    for team.rank in range(size):
        numbers += team.own(count)
    assert sorted(numbers) == list(range(count))  # no gaps, no repeats


@pytest.mark.parametrize("batch, wanted, size", [(8, 3, 1), (8, 0, 3), (8, 1, 2)])
def test_a_batch_that_cannot_be_divided_is_refused(batch, wanted, size):
    team = Team(CPU)
    team.size = size
    with pytest.raises(UserError, match=r"choose train\.batch and train\.parts"):
        team.parts(batch, wanted)


def test_a_gpu_gets_whole_batches_and_each_process_one():
    team = Team(torch.device("cuda"))
    assert team.parts(8) == 1
    team.size = 4
    assert team.parts(8) == 4


def _drawn(chance: Chance) -> list[float]:
    with drawing_from(chance.networks):
        own = normal_like(torch.empty(1)).item(), uniform(1, device=CPU).item()
    return [chance.random.random(), torch.rand(1, generator=chance.generator).item(), *own]


def test_numbers_follow_from_the_key_alone():
    first = _drawn(Chance.of(CPU, 0, 1, 2, 3))
    torch.rand(7)
    assert _drawn(Chance.of(CPU, 0, 1, 2, 3)) == first
    others = [_drawn(Chance.of(CPU, *key)) for key in ((1, 1, 2, 3), (0, 2, 2, 3), (0, 1, 3, 3), (0, 1, 2, 4))]
    assert len({tuple(numbers) for numbers in (first, *others)}) == 5


def test_networks_of_two_threads_draw_from_their_own_sources():
    alone = _drawn(Chance.of(CPU, 5))
    together, found = threading.Barrier(2), {}

    def draw(key: int) -> None:
        chance = Chance.of(CPU, key)
        with drawing_from(chance.networks):
            together.wait()
            found[key] = [normal_like(torch.empty(1)).item() for _ in range(200)]

    threads = [threading.Thread(target=draw, args=(key,)) for key in (5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[5][0] == alone[2] and not set(found[5]) & set(found[6])


@pytest.mark.parametrize("channels", [False, True])
def test_dropout_keeps_the_mean_and_does_nothing_in_use(channels):
    layer, x = Dropout(0.25, channels), torch.ones(64, 32, 10)
    made = layer(x)
    assert made.unique().tolist() == pytest.approx([0, 4 / 3])
    assert made.mean() == pytest.approx(1, abs=0.06)
    assert ((made == made[:, :, :1]).all()) == channels
    assert layer.eval()(x) is x


def test_a_model_trains_alike_in_threads_and_in_turns(quick, change, tmp_path, monkeypatch):
    """Two threads, or one after the other: the same weights to the last bit, for none disturbs the other."""
    found, before = [], torch.get_num_threads()
    for threads in (2, 1):
        torch.set_num_threads(1)
        monkeypatch.setattr(teams.torch, "get_num_threads", lambda threads=threads: threads)
        config = change(quick, train={"output": str(tmp_path / str(threads)), "parts": 2}, sync={"expert": "none"})
        trainer = Trainer(config)
        for step in range(3):
            trainer.phases[-1].trainee.step(Position(step + 1, 0.0, 0.0, step, 4))
        trainer.team.close()
        found.append(trainer.model.state_dict())
    torch.set_num_threads(before)
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=0, atol=0, msg=name)
    assert np.isfinite(found[0]["shape_head.gain"]).all()
