"""Files of times: what is read, and what is refused by its line."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2lip.errors import UserError
from speech2lip.rendering.cues import MOST_BYTES, MOST_CUES, Cue, frame_spans, read_cues

SRT = "1\n00:00:01,500 --> 00:00:02,750\n<i>Hello</i> {\\an8}there,\nmy friend.\n\n2\n01:00:03,000 --> 01:00:04,25 X1:5\nBye &amp; bye\n"


def written(folder: Path, text: str | bytes, name: str = "times.srt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_subrip_is_read_without_its_markup(tmp_path):
    first, second = read_cues(written(tmp_path, SRT))
    assert first == Cue(1.5, 2.75, 2, "Hello there, my friend.")
    assert second == Cue(3603.0, 3604.25, 7, "Bye & bye")


def test_webvtt_is_read_without_notes_and_settings(tmp_path):
    text = "WEBVTT - of a film\nKind: captions\n\nNOTE not\nspoken\n\nSTYLE\n::cue { color: red }\n\nintro\n01:02.5 --> 01:04.000 align:start\n<v Bob>Hi <b>you</b> [laughs] ♪</v>\n"
    assert read_cues(written(tmp_path, text, "t.vtt")) == [Cue(62.5, 64.0, 11, "Hi you")]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_name_their_columns_in_any_order(tmp_path, separator):
    rows = [["Text", "end", "audio", "start"], ['"a, b; c"', "2.5", "a.wav", "1"], ["", "00:00:05.5", "", "3"]]
    text = "\n".join(separator.join(row) for row in rows)
    found = read_cues(written(tmp_path, text, "t.csv"))
    assert found == [Cue(1, 2.5, 2, "a, b; c", tmp_path / "a.wav"), Cue(3, 5.5, 3)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, encoding, ends):
    text = SRT.replace("Hello", "Grüße").replace("\n", ends)
    first, second = read_cues(written(tmp_path, text.encode(encoding)))
    assert first.text == "Grüße there, my friend." and second.line == 7


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (SRT.replace("02,750", "01,500"), "t.srt", "line 2: the span ends at 1.5 s"),
        (SRT.replace("01:00:03", "00:00:02"), "t.srt", "line 7: the span from 2 to 3604.25 s overlaps that of line 2"),
        (SRT.replace("00:00:01,500 --> 00:00:02,750", "02:00:01,5 --> 02:00:03"), "t.srt", "line 7: .* comes before that of line 2"),
        (SRT.replace("01:00:03,000", "01:00:0x,000"), "t.srt", "line 7: .*cannot be read"),
        (SRT.replace("02,750", "72,750"), "t.srt", "line 2: a time has more than 59"),
        (SRT.replace("my friend.\n", "my friend.\n00:00:02,8 --> 00:00:02,9\n"), "t.srt", "line 5: a span begins within another"),
        (SRT.replace("my friend.", "my friend.\n\nmore"), "t.srt", "line 6: 'more' has no times"),
        (SRT, "t.vtt", "does not begin with WEBVTT"), (SRT, "t.txt", r"\.srt, \.vtt, \.csv"), ("", "t.srt", "is empty"), ("\n", "t.srt", "has no times"),
        (b"1\x000\x00:\x00", "t.srt", "zero bytes"), (b"\xff\xfe1", "t.srt", "begins as utf-16"),
        ("1,2\n", "t.csv", "first line must name the columns"), ("start,end\n", "t.csv", "has no times"),
        ("start,end,when\n", "t.csv", "first line must name"), ("start,end\n1,nan\n", "t.csv", "line 2: end is 'nan'"),
        ("start,end\n-1,2\n", "t.csv", "line 2: start is '-1'"), ("start,end\n1,2,3\n", "t.csv", "line 2: there are 1 fields more"),
        ("start,end\n\n1\n", "t.csv", "line 3: end is ''"), ("start,end,text\n1,2,\"" + "x" * 200_000 + "\"\n", "t.csv", "as a table"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_its_line(tmp_path, text, name, said):
    with pytest.raises(UserError, match=said):
        read_cues(written(tmp_path, text, name))


def test_sizes_are_bounded(tmp_path):
    with pytest.raises(UserError, match="more than 4 MB"):
        read_cues(written(tmp_path, b"x" * (MOST_BYTES + 1)))
    rows = "".join(f"{k},{k + 1}\n" for k in range(MOST_CUES + 1))
    with pytest.raises(UserError, match=f"more than {MOST_CUES} spans"):
        read_cues(written(tmp_path, "start,end\n" + rows, "t.csv"))


spans = st.lists(st.integers(1, 5_000), min_size=2, max_size=20).map(
    lambda steps: [sum(steps[: k + 1]) for k in range(len(steps))]
)
words = st.lists(st.text("abcäöü'.,!? ", min_size=1, max_size=20).map(str.strip).filter(bool), min_size=1, max_size=3)


@given(spans, words, st.sampled_from([".srt", ".vtt"]))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, times, lines, suffix):
    """Any number of spans at any millisecond, with any text."""

    def stamp(value: int) -> str:
        return f"{value // 3_600_000:02}:{value // 60_000 % 60:02}:{value // 1000 % 60:02}.{value % 1000:03}"

    cues = [f"{stamp(a)} --> {stamp(b)}\n" + "\n".join(lines) for a, b in zip(times[::2], times[1::2], strict=False)]
    text = ("WEBVTT\n\n" if suffix == ".vtt" else "") + "\n\n".join(cues)
    found = read_cues(written(tmp_path_factory.mktemp("cues"), text, f"t{suffix}"))
    assert [(round(c.start * 1000), round(c.end * 1000)) for c in found] == list(
        zip(times[::2], times[1::2], strict=False)
    )
    assert all(c.text == " ".join(" ".join(lines).split()) for c in found)


@given(
    st.binary(max_size=300),
    st.sampled_from([".srt", ".vtt", ".csv"]),
    st.sampled_from(["", "start,end\n", "WEBVTT\n\n"]),
)
@settings(max_examples=150, deadline=None)
def test_anything_is_read_or_refused(tmp_path_factory, data, suffix, head):
    path = written(tmp_path_factory.mktemp("cues"), head.encode() + data, f"t{suffix}")
    try:
        found = read_cues(path)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert all(a.end <= b.start for a, b in pairwise(found)) and found[0].start < found[0].end


def test_spans_are_frames_of_the_clip(tmp_path):
    cues = [Cue(1.0, 2.02, 4), Cue(2.02, 3.999, 9)]
    assert frame_spans(cues, 25, 100, tmp_path) == [(25, 51), (51, 100)]
    with pytest.raises(UserError, match=r"line 9: the span ends at 3.999 s, but the clip at 3.600 s"):
        frame_spans(cues, 25, 90, tmp_path)
    with pytest.raises(UserError, match=r"line 1: .* holds no frame"):
        frame_spans([Cue(1.0, 1.01, 1)], 25, 90, tmp_path)
