"""Rows of features, in memory, in files and on demand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2lip.audio.rows import ChangedRows, FeatureWindows, RowFile, Rows, window_offsets


def test_windows_made_on_demand_are_those_of_the_array():
    rows = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    windows = FeatureWindows((Rows(rows, 80.0, -2.0),), 25.0, 28, window_offsets(20, 0.02))
    everything = windows[:]
    assert everything.shape == (28, 20, 4) and len(windows) == 28
    np.testing.assert_array_equal(windows[np.array([3, 27, 0])], everything[[3, 27, 0]])
    np.testing.assert_array_equal(windows[5:9], everything[5:9])
    assert (everything[0, 0] == -2).all()  # before the first row there is silence


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=5), st.integers(-5, 9000), st.integers(-5, 9000), st.booleans()
)
def test_rows_in_a_file_are_those_of_an_array(counts, start, stop, changed):
    """Above and below the size that stays in memory, any slice and any window."""
    rows = np.random.default_rng(0).normal(size=(sum(counts), 80)).astype(np.float32)
    kept = RowFile(80, np.float32)
    for part in np.split(rows, np.cumsum(counts)[:-1]):
        kept.append(part)
    source = ChangedRows(kept, np.abs) if changed else kept
    rows = np.abs(rows) if changed else rows
    assert len(source) == len(rows)
    np.testing.assert_array_equal(source[start:stop], rows[start:stop])
    seconds = np.linspace(start, stop, 40).reshape(8, 5) / 80
    np.testing.assert_array_equal(Rows(source, 80, -2.0).at(seconds), Rows(rows, 80, -2.0).at(seconds))


@pytest.mark.parametrize("seconds", [[], [-9.0], [99.0], [-1.0, 50.0]])
def test_windows_far_outside_are_silence(seconds):
    rows = Rows(np.ones((80, 3), np.float32), 80.0, -2.0)
    assert (rows.at(np.array(seconds)) == -2).all() and rows.at(np.array(seconds)).shape == (len(seconds), 3)
    assert (Rows(np.zeros((0, 3), np.float32), 80.0, -2.0).at(np.array(seconds)) == -2).all()


@given(st.integers(2, 40), st.floats(0.005, 0.1), st.floats(0, 2))
def test_a_window_reaches_as_far_ahead_as_it_is_told(window, step, ahead):
    offsets = window_offsets(window, step, ahead=ahead)
    assert offsets[-1] == pytest.approx(ahead) and np.diff(offsets) == pytest.approx(step)
    centred = window_offsets(window, step)
    assert centred[0] == pytest.approx(-centred[-1])
