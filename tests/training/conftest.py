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


@pytest.fixture(scope="session")
def few_steps() -> dict[str, Any]:
    """Section `train` of thirty deterministic steps, small ones; those of speech are computed in two parts."""
    return {"steps": 30, "amp": False, "speech_share": 0.2, "batch": 2, "speech_batch": 16}


@pytest.fixture
def quick(subject_config: Config, few_steps: dict[str, Any], tmp_path) -> Config:
    """Few steps into a folder of their own."""
    return changed(subject_config, train=few_steps | {"output": str(tmp_path)}, sync={"share": 0.1})
