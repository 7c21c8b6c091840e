"""A kill in every stage; `python -m tests.kills --moments 25` tries more of them."""

import kills
import pytest


@pytest.mark.slow
def test_killed_and_run_again_equals_uninterrupted():
    assert kills.run(1) == 0
