"""Quality by ablation: train variants of the configuration on one clip and measure each on its test split.

    python benchmarks/quality.py CLIP --minutes 12                # every variant
    python benchmarks/quality.py CLIP --minutes 12 --only default no-align
    python benchmarks/quality.py CLIP train.speech_share=0.2 --steps 6000 --only default faithful

Prints the table of docs/quality.md (and writes it, with all figures, to OUT/quality.md and
OUT/quality.json) and leaves each variant's report in OUT/log/VARIANT/evaluation. Variants that
were measured before, with the same code, clip and settings, are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

from benchmarks.trial import add_budget, budget, code_digest, subject_folder, told_from_frozen, train_and_measure
from speech2lip.config import default_config
from speech2lip.errors import UserError, run_guarded
from speech2lip.files import atomic_path

# Variant -> settings that differ from the defaults.
# fmt: off
VARIANTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "other-seed": ("train.seed=1",),  # how much figures vary by chance
    "faithful": (
        "model.lip.audio_width=64", "model.lip.width=256", "model.lip.layers=8", "model.lip.skip_after=4",
        "model.lip.upsample=1", "model.blend.widths=[64,128,128]", "model.blend.unshuffle=1",
    ),  # the preset faithful
    "tiny": (
        "model.lip.width=96", "model.lip.layers=4", "model.lip.skip_after=2", "model.lip.features=24", "model.blend.widths=[16,32,32]",
    ),  # the preset tiny
    # picture
    "no-align": ("photometric.weight=0",),
    "no-exposure": ("face.exposure=0",),
    "narrow-region": ("face.lip_margin=0.12",),
    "wide-region": ("face.lip_margin=0.35",),
    "upsample-2": ("model.lip.upsample=2",),
    "upsample-4": ("model.lip.upsample=4",),
    "upsample-8": ("model.lip.upsample=8",),
    "no-norm": ("model.blend.norm=false",),
    "wide-blend": ("model.blend.widths=[64,128,128]",),
    "unshuffle-1": ("model.blend.unshuffle=1",),
    "unshuffle-4": ("model.blend.unshuffle=4",),
    "no-lip-focus": ("loss.lips=0",),
    "paper-field": ("model.lip.upsample=1",),
    "codes-1": ("model.lip.shape_codes=1",),
    "codes-4": ("model.lip.shape_codes=4",),
    "codes-24": ("model.lip.shape_codes=24",),
    "no-pose-noise": ("train.pose_noise=0",),
    "code-noise-0.3": ("train.code_noise=0.3",),
    "no-detail": ("model.lip.detail=1",),
    "no-perceptual": ("loss.perceptual_weight=0",),
    "perceptual-0.4": ("loss.perceptual_weight=0.4",),
    "sync": ("sync.expert=own",),
    "no-swap": ("loss.swap=0",),
    "holes": ("loss.black_hole=0.5",),
    "batch-16": ("train.batch=16",),
    # speech
    "no-articulate": ("train.articulate=1",),
    "no-mixup": ("train.mixup=0",),
    "no-augment": ("train.augment=0",),
    "window-16": ("audio.window=16",),
    "window-24": ("audio.window=24",),
    "window-40": ("audio.window=40",),
    "mel": ("audio.backend=mel",),
    "moonshine": ("audio.backend=moonshine",),
    "phones": ("audio.backend=phones",),
}
# fmt: on
# (protocol, figure, title)
_COLUMNS = (
    ("self", "opening_r", "r"),
    ("self", "articulation", "art."),
    ("self", "width_r", "width r"),
    ("self", "offset_frames", "offset"),
    ("self", "lmd", "LMD / frozen"),
    ("self", "psnr_lip", "PSNR - frozen"),
    ("self", "ssim_lip", "SSIM"),
    ("self", "cpbd_ratio", "CPBD / real"),
    ("self", "cpbd_lip", "mouth"),
    ("self", "seams", "seams"),
    ("self", "jitter_speech_ratio", "jitter"),
    ("self", "jitter_silence_ratio", "silent"),
    ("self", "rest_z", "rest"),
    ("cross", "opening_r", "cross r"),
    ("cross", "articulation", "art."),
    ("cross", "width_r", "width r"),
    ("cross", "leak_width", "leak"),
    ("cross", "seams", "seams"),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="video of one person talking")
    add_budget(parser)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="VARIANT",
        help="of " + ", ".join(VARIANTS),
    )
    parser.add_argument("--out", type=Path, help="folder for everything (default: rendering_result/quality/CLIP)")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings of all variants")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    if not options.clip.is_file():
        raise UserError(f"{options.clip} does not exist: give a video of one person talking")
    out = options.out or Path("rendering_result/quality") / options.clip.stem
    done = load(out / "quality.json")
    for name in options.only:
        settings = [*options.settings, *VARIANTS[name], budget(options)]
        made_of = {"settings": settings, "code": code_digest(), "clip": str(options.clip.resolve())}
        if name in done and all(done[name].get(key) == value for key, value in made_of.items()):
            print(f"{name}: measured before, kept")
            continue
        print(f"\n=== {name}: {' '.join(settings)}")
        done[name] = {**made_of, **measure(options.clip, name, settings, out)}
        with atomic_path(out / "quality.json") as path:
            path.write_text(json.dumps(done, indent=1))
        with atomic_path(out / "quality.md") as path:
            path.write_text(table({k: done[k] for k in VARIANTS if k in done}))
    print("\n" + table({k: done[k] for k in options.only}))
    return 0


def load(path: Path) -> dict[str, Any]:
    """What was measured before."""
    return json.loads(path.read_text()) if path.is_file() else {}


def measure(clip: Path, name: str, settings: list[str], out: Path) -> dict[str, Any]:
    """Preprocess where needed, train, evaluate; figures by protocol and row."""
    where = [f"name={clip.stem}", f"data.root={out / subject_folder(settings)}", f"train.output={out / 'log' / name}"]
    results = train_and_measure(default_config([*settings, *where]), clip)
    return {protocol: result.rows for protocol, result in results.items()}


def table(done: dict[str, Any]) -> str:
    """Markdown, one line per variant."""
    lines = ["| variant | " + " | ".join(title for _, _, title in _COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for name, figures in done.items():
        lines.append(
            f"| {name} | " + " | ".join(cell(figures[protocol], figure) for protocol, figure, _ in _COLUMNS) + " |"
        )
    return "\n".join(lines) + "\n"


def cell(rows: dict[str, dict[str, float]], name: str) -> str:
    """A figure of the generated row; LMD and PSNR are told from the frozen mouth's."""
    value = told_from_frozen(rows, name)
    if name == "psnr_lip":
        return f"{value:+.1f} dB"
    return (
        f"{value:.0f}" if name == "offset_frames" else f"{value:.2f}" if name in ("rest_z", "lmd") else f"{value:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
