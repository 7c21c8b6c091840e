"""Names of files are data: each gives a subject of its own, in a folder that cannot lie elsewhere."""

import os
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speech2lip.config import load_settings
from speech2lip.names import LONGEST, is_plain, subject_name

TROUBLE = [
    "#1 intro", "talk #1", "talk #2", "Interview: part 1", "12:30", "007", "1e5", "1.10", "true", "null", "[4K] me", "{a}", "@me",
    "!x", "*x", "&x", "${HOME}", "x%d", "it's me", "-x", "--name", "~", "7", "talk", "a=b", "$(x)", "`x`", "x;y", "%5", "=", "é",
]  # fmt: skip
CHANGED = [
    "..", ".", "", " ", "a ", " a", "a.", ".a", "..a", "a\nb", "a\tb", "a/b", "../x", "/x", "a\\b", "a\0b", "con", "NUL", "x" * 251,
    "\N{FAMILY}" * 60, unicodedata.normalize("NFD", "é"), "\udcff", "a~0123456789abcdef", "\u202eabc", "COM1.x",
]  # fmt: skip


@pytest.mark.parametrize("name", TROUBLE)
def test_a_name_that_a_folder_can_have_is_kept(name):
    assert subject_name(name) == name and load_settings(None, {"name": subject_name(name)}).name == name


@pytest.mark.parametrize("name", CHANGED)
def test_any_other_is_changed(name):
    assert not is_plain(name) and subject_name(name) != name


def test_all_are_different():
    names = [subject_name(n) for n in [*TROUBLE, *CHANGED]]
    assert len({unicodedata.normalize("NFC", n) for n in names}) == len(names)


_names = st.text(alphabet=st.characters(exclude_characters=""), max_size=260)


@given(_names)
@example("..")
@example("x" * 255)
@example("\udcff\udcfe")
def test_a_subject_name_is_one_folder_below_its_parent(name):
    safe = subject_name(name)
    assert safe == subject_name(name) and load_settings(None, {"name": safe}).name == safe
    assert safe == safe.strip(" .") and safe not in ("", ".", "..") and safe.isprintable()
    assert len(os.fsencode(safe)) <= LONGEST
    assert os.path.normpath(os.path.join("dataset", safe)) == os.path.join("dataset", safe)


@given(_names, _names)
def test_two_names_never_meet(one, other):
    assert (one == other) == (subject_name(one) == subject_name(other))


@given(_names)
def test_a_changed_name_is_no_other_files_name(name):
    safe = subject_name(name)
    assert safe == name or subject_name(safe) != safe


@pytest.mark.parametrize("name", ["😀 me", "日本語", "नमस्ते", "x" * LONGEST])
def test_other_scripts_stay(name):
    assert subject_name(name) == name
