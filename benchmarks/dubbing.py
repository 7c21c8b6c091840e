"""How a dubbed video differs from its source: `python benchmarks/dubbing.py SOURCE DUBBED TIMES [--truth START NPZ SUBJECT]`.

Prints, for the frames and samples outside the spans, how many differ and by how much; for the ends of the spans, how far the
picture moves from one frame to the next, beside the source's own movement there and what is usual inside; and with a truth of
the synthetic speaker, how well the mouth inside a span follows it.
"""

from __future__ import annotations

import argparse
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np

from speech2lip.evaluation.recording import Recorder
from speech2lip.evaluation.view import view_of
from speech2lip.media.decode import read_frames, read_pictures
from speech2lip.media.probe import probe
from speech2lip.media.soundtrack import Soundtrack, own_form
from speech2lip.metrics.basic import best_lag, correlation
from speech2lip.rendering.cues import frame_spans, read_cues
from speech2lip.subject.layout import SubjectLayout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("source", "dubbed", "times"):
        parser.add_argument(name, type=Path)
    parser.add_argument(
        "--truth", nargs=3, metavar=("START", "NPZ", "SUBJECT"), help="seconds at which what it holds begins"
    )
    options = parser.parse_args()
    fps = probe(options.source).fps
    frames = round(probe(options.source).duration * fps)
    spans = frame_spans(read_cues(options.times), fps, frames, options.times)
    inside = np.zeros(frames + 10, bool)
    for start, end in spans:
        inside[start:end] = True
    _picture(options, fps, spans, inside)
    _sound(options, fps, spans)
    if options.truth:
        _follows(options, fps)


def _pairs(options: argparse.Namespace, fps: float):
    """(number, planes of the source, of the result), None for either that has ended."""
    clips = (read_pictures(path, fps) for path in (options.source, options.dubbed))
    for number, pair in enumerate(zip_longest(*clips)):
        yield number, *(None if picture is None else picture.planes.astype(np.int16) for picture in pair)


def _picture(options: argparse.Namespace, fps: float, spans: list[tuple[int, int]], inside: np.ndarray) -> None:
    wrong, most, changed = 0, 0, np.zeros(1, bool)
    for number, old, new in _pairs(options, fps):
        if old is None or new is None:
            print(f"frame {number} is there in one of the files alone")
        elif inside[number]:
            changed = changed | (np.abs(old - new)[: len(old) * 2 // 3] > 8)
        elif (old != new).any():
            wrong, most = wrong + 1, max(most, int(np.abs(old - new).max()))
    outside = int((~inside[: number + 1]).sum())
    print(f"{number + 1} frames; outside the spans {wrong} of {outside} differ, by at most {most} levels")
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    moved, before = np.zeros((number + 2, 2)), None
    for number, *planes in _pairs(options, fps):
        parts = [part[box].astype(np.float32) for part in planes]
        moved[number] = [0, 0] if before is None else [np.abs(a - b).mean() for a, b in zip(parts, before, strict=True)]
        before = parts
    print("levels from frame to frame around the mouth, source and result:")
    for start, end in spans:
        ends = "; ".join(
            f"{name} {moved[k, 0]:.2f} {moved[k, 1]:.2f}"
            for name, k in (("beginning", start), ("end", end))
            if k <= number
        )
        median, high, highest = np.percentile(moved[start + 1 : end, 1], [50, 95, 100])
        print(
            f"  frames {start} to {end}: {ends}; result inside: median {median:.2f}, 95 % {high:.2f}, most {highest:.2f}"
        )


def _sound(options: argparse.Namespace, fps: float, spans: list[tuple[int, int]]) -> None:
    form = own_form(options.source)
    count = round(probe(options.source).duration * form[0])
    wrong = np.abs(np.subtract(*(Soundtrack(p, *form).take(count) for p in (options.source, options.dubbed)))).max(0)
    for start, end in spans:
        wrong[round(start / fps * form[0]) : round(end / fps * form[0])] = 0
    said = f"outside the spans {np.count_nonzero(wrong)} of {count} samples differ, by at most {wrong.max():.2g}"
    print(f"sound: {form} and {own_form(options.dubbed)}; {said}")


def _follows(options: argparse.Namespace, fps: float) -> None:
    start, truth, subject = float(options.truth[0]), options.truth[1], SubjectLayout(options.truth[2]).load_subject()
    with np.load(truth, allow_pickle=False) as data:
        opening = data["mouth"][:, 0]
    recorder = Recorder()
    for frame in islice(read_frames(options.dubbed, fps, start=round(start * fps)), len(opening)):
        recorder.add(view_of(frame, subject.crop))
    found = recorder.finish().opening
    seen = np.isfinite(found)
    lag, _ = best_lag(found[seen], opening[seen])
    print(
        f"mouth from {start:g} s on: correlation with the truth {correlation(found[seen], opening[seen]):.3f}, best shift {lag} frames"
    )


if __name__ == "__main__":
    main()
