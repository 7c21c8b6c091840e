"""A fixed sample of the fuzz run; `python -m tests.fuzz` runs as many cases as wanted."""

from .run import run


def test_damaged_files_are_accepted_or_refused_in_one_sentence(tmp_path):
    count = run(tmp_path, 300)
    assert not count.failures, count.failures[:3]
    assert count.cases == 300 and count.refused > 150 and count.accepted > 10
