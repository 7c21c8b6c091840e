"""Quick trainings of the synthetic speaker."""

from collections.abc import Callable
from typing import Any

import pytest

from speech2lip.config import Config, config_from_dict, config_to_dict


def changed(config: Config, **sections: Any) -> Config:
    """A configuration with some entries of its sections changed."""
    raw = config_to_dict(config)
    for name, values in sections.items():
        raw[name] = raw[name] | values if isinstance(values, dict) else values
    return config_from_dict(raw, "test")


@pytest.fixture(scope="session")
def change() -> Callable[..., Config]:
    return changed


@pytest.fixture
def quick(subject_config: Config, tmp_path) -> Config:
    """Thirty deterministic steps into a folder of their own."""
    train = {"steps": 30, "output": str(tmp_path), "amp": False, "speech_share": 0.2}
    return changed(subject_config, train=train, sync={"share": 0.1})
