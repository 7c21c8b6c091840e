"""Whom a question reaches."""

import io
import os
import sys

import pytest

from speech2lip.terminal import can_ask, says_yes


@pytest.mark.parametrize("stream", [None, io.StringIO("y\n")])
def test_nobody_is_asked_without_a_terminal(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdin", stream)
    assert not can_ask()


@pytest.mark.skipif(not hasattr(os, "tcgetpgrp"), reason="no groups of processes here")
def test_a_process_in_the_background_asks_nobody(monkeypatch):
    """It would be stopped for reading."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def fileno(self):
            return 0

    monkeypatch.setattr(sys, "stdin", Terminal())
    for group, reached in ((os.getpgrp(), True), (os.getpgrp() + 1, False)):
        monkeypatch.setattr(os, "tcgetpgrp", lambda _, group=group: group)
        assert can_ask() is reached


@pytest.mark.parametrize(("says", "agreed"), [("y", True), (" YES", True), ("n", False), ("", False), ("yep", False)])
def test_only_yes_is_yes(monkeypatch, says, agreed):
    monkeypatch.setattr("builtins.input", lambda _: says)
    assert says_yes("Really?") is agreed


def test_the_end_of_input_is_no(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert not says_yes("Really?")
