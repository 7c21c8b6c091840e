"""What painted lips do where nobody speaks: rendered, and measured by landmarks found in the result.

    python benchmarks/rest.py log/me/model.pt --audio speech.wav                 # beside the person's own silence
    python benchmarks/rest.py log/demo/model.pt --audio held_out.wav --speaker   # the synthetic speaker, whose clip has no pauses

Speech, three seconds without, speech; the middle two seconds are measured, alone and with music 20 dB below the speech, on the same
source frames. Motion: mean second difference of the lips in steady coordinates, over that of the person's real lips in silence; opening: in %
of the interocular distance, and z: less the real one, in standard deviations of it. The synthetic speaker's real silence is drawn: the same
head on the same way with a mouth that is closed. `source` are the frames painted on, in which the person speaks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import numpy as np

from benchmarks.silence import SPOKEN, hear, pauses_with
from speech2lip.audio.features import backend_from_params
from speech2lip.config import SILENCES
from speech2lip.demo.speaker import TRAINING_SENTENCES, render_frames, write_script
from speech2lip.detection.detect import FaceMesh
from speech2lip.errors import UserError, run_guarded
from speech2lip.evaluation.summary import STILL
from speech2lip.facemesh import LANDMARKS, LIPS, interocular, mouth_opening
from speech2lip.media.decode import read_frames
from speech2lip.media.sound import SAMPLE_RATE, load_audio
from speech2lip.metrics.basic import runs
from speech2lip.metrics.motion import jitter, stabilise
from speech2lip.model.rest import presence_in
from speech2lip.rendering.predictor import Predictor
from speech2lip.rendering.silence import HeardSpeech
from speech2lip.subject.records import extract

_BEFORE, _SECONDS = 0.5, 2.0  # that are painted before what is measured, and measured
_LEAST = 12  # frames of a silence in the clip that is measured


@dataclass(frozen=True)
class Lips:
    """motion: mean second difference of the lips, % of the interocular distance; opening: [T] likewise."""

    motion: float
    opening: np.ndarray


def lips_of(pictures: Iterable[np.ndarray], reference: np.ndarray | None = None) -> Lips:
    """Of face crops in a row. reference: still landmarks to which each face is brought (default: their own median)."""
    found, scale, opening = [], [], []
    with closing(FaceMesh()) as mesh:
        for picture in pictures:
            points = mesh(np.ascontiguousarray(picture))
            points = np.full((LANDMARKS, 3), np.nan) if points is None else points
            found.append(points[:, :2])
            scale.append(interocular(points))
            opening.append(100 * mouth_opening(points) / interocular(points))
    landmarks, size = np.stack(found), float(np.nanmedian(scale))
    still = np.nanmedian(landmarks[:, STILL], axis=0) if reference is None else reference
    steady = stabilise(landmarks, STILL, still / size)
    return Lips(float(np.nanmean(jitter(steady[:, LIPS], np.ones(len(steady))))), np.array(opening))


def real_silence(predictor: Predictor, frames: int) -> list[Lips]:
    """Of the person's own frames in which nobody speaks."""
    subject = predictor.subject
    quiet = (presence_in(predictor.layout.audio, subject.fps, subject.frames) == 0) & predictor.track.clear
    stays = [(int(a), int(b)) for a, b in runs(quiet) if b - a >= _LEAST]
    if not stays:
        raise UserError(
            f"subject {subject.name} never is silent for {_LEAST} frames: the synthetic speaker has --speaker"
        )
    out = []
    for start, end in sorted(stays, key=lambda s: s[0] - s[1])[: max(1, frames // _LEAST)]:
        with closing(read_frames(predictor.source, subject.fps, start=start, select=predictor.select)) as source:
            out.append(lips_of(extract(next(source), subject.crop) for _ in range(end - start)))
    return out


def drawn_silence(predictor: Predictor, frames: range) -> list[Lips]:
    """Of the synthetic speaker, on its way through the frames, with a mouth that is closed."""
    script, subject = write_script(TRAINING_SENTENCES), predictor.subject
    closed = tuple(replace(script.states[k], mouth=(0.0, 0.0, 0.0)) for k in frames)
    drawn = render_frames(replace(script, states=closed), subject.size[0])
    return [lips_of(extract(frame, subject.crop) for frame in drawn)]


def painted(predictor: Predictor, wav: np.ndarray, first: int) -> tuple[Lips, Lips]:
    """Of the result in the pause of a sound, and of the frames that it was painted on."""
    fps = predictor.subject.fps
    heard = hear(wav, fps, backend_from_params(dict(predictor.metadata.audio)))
    before, middle = round(_BEFORE * fps), round((SPOKEN + 0.6) * fps)
    part = np.arange(middle - before, middle + round(_SECONDS * fps) + before)
    said = HeardSpeech(heard[part], heard.presence[part])
    pairs = [
        (extract(done.image, predictor.subject.crop), extract(done.original, predictor.subject.crop))
        for done in predictor.render(said, first)
    ][before:-before]
    return lips_of(made for made, _ in pairs), lips_of(real for _, real in pairs)


def rows(options: argparse.Namespace) -> Iterator[str]:
    spoken = load_audio(options.audio)[: round(SPOKEN * SAMPLE_RATE)]
    sounds = {name: wav for name, wav in pauses_with(spoken) if name in ("silence", "music, 20 dB below")}
    real: list[Lips] = []
    for name, wav in sounds.items():
        for silence in options.only or SILENCES:
            with Predictor.reading(options.model, options.data, "cpu", {"render.silence": silence}) as predictor:
                if not real:
                    begin = options.start + round(_BEFORE * predictor.subject.fps)
                    count = round(_SECONDS * predictor.subject.fps)
                    span = range(begin, begin + count)
                    real += drawn_silence(predictor, span) if options.speaker else real_silence(predictor, count)
                    rest, motion = np.concatenate([r.opening for r in real]), float(np.mean([r.motion for r in real]))
                    yield f"real silence: opening {np.nanmean(rest):.2f} +- {np.nanstd(rest):.2f}, motion {motion:.3f}\n"
                    yield "| in the pause | silence | opening | z | motion over real | of the source frames |\n|---|---|---|---|---|---|"
                made, source = painted(predictor, wav, options.start)
            opening = float(np.nanmean(made.opening))
            z = (opening - np.nanmean(rest)) / np.nanstd(rest)
            yield f"| {name} | {silence} | {opening:.2f} | {z:+.2f} | {made.motion / motion:.2f} | {source.motion / motion:.2f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="checkpoint; its subject's folder must be where it was")
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the model's own)")
    parser.add_argument("--audio", type=Path, required=True, help="speech around the pause")
    parser.add_argument("--start", type=int, default=100, help="source frame on which painting begins (default: 100)")
    parser.add_argument("--speaker", action="store_true", help="the person is the synthetic speaker of the demo")
    parser.add_argument("--only", nargs="*", choices=SILENCES, help="settings of render.silence (default: all)")
    options = parser.parse_args()

    def run() -> int:
        for row in rows(options):
            print(row, flush=True)
        return 0

    return run_guarded(run)


if __name__ == "__main__":
    sys.exit(main())
