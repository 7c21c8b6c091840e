"""Counts of the table of inputs, printed at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest
from input_table import ROWS

COUNTS: Counter[str] = Counter()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Generator[None, pytest.TestReport, None]:
    report = (yield).get_result()
    if report.when == "call" and "row" in getattr(getattr(item, "callspec", None), "params", {}):
        COUNTS["run"] += 1
        COUNTS["expected"] += report.passed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS["run"]:
        terminalreporter.write_line(f"inputs: {len(ROWS)} rows, {COUNTS['run']} run, {COUNTS['expected']} as expected")
