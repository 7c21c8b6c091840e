"""The saved state of a training."""

import numpy as np
import pytest
import torch

from speech2lip.config import Config, default_config
from speech2lip.errors import UserError
from speech2lip.training.state import Progress, RandomSources, load_state, save_state


def _draw(sources: RandomSources) -> list[float]:
    return [sources.random.random(), torch.rand(1, generator=sources.generator).item(), torch.rand(1).item()]


def test_restored_sources_go_on_where_they_stood(tmp_path):
    """Through the file: the numbers that follow are those that would have followed."""
    sources = RandomSources(np.random.default_rng(5), torch.Generator().manual_seed(6))
    _draw(sources)
    save_state(tmp_path / "last.pt", Config(), {"subject": "x"}, {"weights": torch.ones(2)}, Progress(7), sources)
    expected = _draw(sources)
    content = load_state(tmp_path / "last.pt", Config(), {"subject": "x"})
    assert Progress(**content["progress"]) == Progress(7) and content["parts"]["weights"].sum() == 2
    fresh = RandomSources(np.random.default_rng(1), torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    assert _draw(fresh) != expected
    fresh.restore(content["random"])
    assert _draw(fresh) == expected


def test_states_of_other_networks_and_subjects_are_refused(tmp_path):
    sources = RandomSources(np.random.default_rng(0), torch.Generator())
    save_state(tmp_path / "last.pt", Config(), {"subject": "x"}, {}, Progress(), sources)
    with pytest.raises(UserError, match="other settings under `model`"):
        load_state(tmp_path / "last.pt", default_config(["model.lip.width=32"]), {"subject": "x"})
    with pytest.raises(UserError, match="another preprocessing"):
        load_state(tmp_path / "last.pt", Config(), {"subject": "y"})
