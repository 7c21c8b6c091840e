"""Make a trained person say a sentence, and show what comes out as one picture.

    python examples/say_anything.py log/me/model.pt "Any sentence you like." [--out said.jpg] [--video said.mp4]

The sentence is spoken by espeak-ng (pip install "speech2lip[demo]"); the path of a file with speech does as
well. Above: moments of the person's own video; below: the same moments, saying the sentence.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from speech2lip import Predictor, UserError, render
from speech2lip.errors import run_guarded
from speech2lip.extras import needs
from speech2lip.media.images import write_image
from speech2lip.media.sound import save_wav
from speech2lip.rendering.paste import Rendered

MOMENTS = 6


def spoken(text: str, folder: Path) -> Path:
    """A file with speech: `text` itself where it names one, else a synthesiser speaks it."""
    if Path(text).is_file():
        return Path(text)
    needs("demo", "espeakng_loader")
    from speech2lip.voice.synthesis import synthesize

    save_wav(folder / "speech.wav", synthesize(text).wav)
    return folder / "speech.wav"


def contact_sheet(frames: Iterable[Rendered], count: int) -> np.ndarray:
    """MOMENTS of `count` frames, spread evenly: a row of originals above a row of generated frames, RGB uint8."""
    wanted = set(np.linspace(0, count - 1, MOMENTS).round().astype(int).tolist())
    kept = [frame for number, frame in enumerate(frames) if number in wanted]
    if not kept:
        raise UserError("the speech is shorter than one frame: give a longer sentence")
    return np.vstack([np.hstack([f.original for f in kept]), np.hstack([f.image for f in kept])])


def say(model: Path, text: str, out: Path, video: Path | None = None) -> int:
    predictor = Predictor.open(model)
    with tempfile.TemporaryDirectory() as folder:
        speech = spoken(text, Path(folder))
        windows = predictor.features(speech)
        write_image(out, contact_sheet(predictor.render(windows), len(windows)))
        print(f"{out}: {min(MOMENTS, len(windows))} of {len(windows)} frames")
        if video is not None:
            print(f"{video}: {render(model, speech, video)} frames")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="checkpoint, log/NAME/model.pt")
    parser.add_argument("text", help="a sentence, or a file with speech")
    parser.add_argument("--out", type=Path, default=Path("said.jpg"), help="the picture to write (default: said.jpg)")
    parser.add_argument("--video", type=Path, help="write the video too")
    options = parser.parse_args()
    return run_guarded(lambda: say(options.model, options.text, options.out, options.video))


if __name__ == "__main__":
    sys.exit(main())
