"""Quality on many people: train on each clip's first 90 %, measure the rest, and look at the worst.

    python benchmarks/people.py CLIPS... --steps 1500
    python benchmarks/people.py CLIPS... --minutes 5 --seeds 0 1 model.lip.upsample=2

Prints a row per person for protocol `self` and one for `cross` (docs/quality.md), with the median and the worst of every
measure; writes them to OUT/people.md and, with all figures, to OUT/people.json, and a contact sheet to OUT/people.png.
Reports lie in OUT/PERSON/log/seedN/evaluation. A person that fails is a row that says so; the exit status is 1 then. What
was measured before, with the same code, clip and settings, is kept.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

from benchmarks.contact import line, moments_of, sheet, strip
from benchmarks.trial import (
    Rows,
    add_budget,
    budget,
    code_digest,
    facts,
    model_file,
    subject_folder,
    told_from_frozen,
    train_and_measure,
)  # fmt: skip
from speech2lip.config import Config, default_config
from speech2lip.errors import UserError, run_guarded
from speech2lip.evaluation.run import check_packages
from speech2lip.evaluation.summary import BY_NAME
from speech2lip.files import atomic_path
from speech2lip.media.images import read_image, write_image
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.names import subject_name
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.source import stamp

_SETTING = re.compile(r"[a-z_]+(\.[a-z_0-9]+)*=.*", re.DOTALL)


@dataclass(frozen=True)
class Column:
    """A figure of the table: its name in metrics.json, its title there, and whose it is; LMD and PSNR are told from the frozen
    mouth's."""

    name: str
    title: str
    row: str = "generated"

    @property
    def key(self) -> str:
        """Its name in people.json."""
        own = {"psnr_lip": "psnr_lip_over_frozen"}.get(self.name, self.name)
        own = f"{own}_of_frozen" if own.startswith("lmd") else own
        return own if self.row == "generated" else f"{own}_{self.row}"

    def value(self, rows: Rows) -> float:
        """Of one protocol's rows; NaN where it is not measured."""
        if self.row == "generated":
            return told_from_frozen(rows, self.name)
        return rows[self.row].get(self.name, math.nan)


COLUMNS = (
    Column("opening_r", "r"), Column("width_r", "width r"), Column("articulation", "art."), Column("offset_frames", "offset"),
    Column("lmd", "LMD / frozen"), Column("lmd_stable", "LMD steady / frozen"), Column("psnr_lip", "PSNR - frozen"),
    Column("texture_inner", "texture: inner"), Column("texture_lips", "lips"), Column("texture_skin", "skin"),
    Column("open_area", "open area"), Column("cpbd_lip_ratio", "CPBD / real"), Column("told_apart", "told apart"),
    Column("told_apart", "(re-pasted)", "repasted"), Column("flicker", "flicker"), Column("seams", "seams"),
    Column("jitter_ratio", "jitter"),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """One training on one clip: its label in tables, its settings, and its folder under OUT."""

    label: str
    clip: Path
    settings: tuple[str, ...]
    folder: Path
    seed: int

    @property
    def name(self) -> str:
        return subject_name(self.clip.stem)

    @property
    def log(self) -> Path:
        return self.folder / "log" / f"seed{self.seed}"

    @property
    def strip(self) -> Path:
        """Its part of the contact sheet."""
        return self.log / "strip.png"

    def config(self) -> Config:
        subject = self.folder / subject_folder(list(self.settings))
        return default_config([*self.settings, f"name={self.name}", f"data.root={subject}", f"train.output={self.log}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "given", nargs="+", metavar="CLIP | key=value", help="videos of one person each; settings of all"
    )
    add_budget(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="trainings of every clip (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("rendering_result/people"), help="folder for everything")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    check_packages()
    people = people_of(options)
    people[0].config()  # settings that are refused are refused once
    before, done = load(options.out / "people.json"), {}
    content = {"facts": facts(), "settings": shared_settings(options)}
    for person in people:
        print(f"\n=== {person.label}: {' '.join(person.settings)}", flush=True)
        done[person.label] = kept_or(person, before.get(person.label), lambda p=person: measured(p))
        write(options.out, content, done)
    contact(options.out / "people.png", people, done)
    print("\n" + tables(done))
    failed = [label for label, row in done.items() if "failed" in row]
    return 1 if failed else 0


def people_of(options: argparse.Namespace) -> list[Person]:
    """Who is trained; UserError for clips whose subjects would share a folder."""
    settings = shared_settings(options)
    clips = [Path(x) for x in options.given if not is_setting(x)]
    if not clips:
        raise UserError(f"{' '.join(options.given)} names no clip: give videos of one person talking each")
    twice = [name for name, count in Counter(subject_name(c.stem) for c in clips).items() if count > 1]
    if twice:
        raise UserError(f"two clips are called {twice[0]}: give each once, or rename one")
    out, several = [], len(options.seeds) > 1
    for clip in clips:
        name = subject_name(clip.stem)
        for seed in dict.fromkeys(options.seeds):
            label = f"{name}, seed {seed}" if several else name
            out.append(Person(label, clip, (*settings, f"train.seed={seed}"), options.out / name, seed))
    return out


def shared_settings(options: argparse.Namespace) -> tuple[str, ...]:
    return ("data.test_fraction=0.1", *(x for x in options.given if is_setting(x)), budget(options))


def is_setting(text: str) -> bool:
    """Whether an argument is `key=value` and no file."""
    return bool(_SETTING.fullmatch(text)) and not Path(text).exists()


# ---------------------------------------------------------------- one person


def load(path: Path) -> dict[str, Any]:
    """What was measured before, by label."""
    return json.loads(path.read_text(encoding="utf-8"))["people"] if path.is_file() else {}


def kept_or(person: Person, before: dict[str, Any] | None, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row of before, where code, clip and settings are the same, or a new one; a failure is a row with its reason."""
    try:
        identity = identity_of(person)
        if before is not None and "failed" not in before and before["identity"] == identity and person.strip.is_file():
            print("measured before, kept")
            return before
        return {"identity": identity, **measure()}
    except UserError as error:
        reason = str(error)
    except Exception as error:  # one person's failure must not cost the others
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
    print(f"failed: {reason}", file=sys.stderr)
    return {"failed": reason}


def identity_of(person: Person) -> dict[str, Any]:
    """What a row depends on."""
    return {
        "settings": list(person.settings),
        "clip": str(person.clip),
        "stamp": asdict(stamp(person.clip)),
        "code": code_digest(),
    }


def measured(person: Person) -> dict[str, Any]:
    """Train and measure; figures of the table and all others by protocol. Writes the person's strip."""
    config = person.config()
    results = train_and_measure(config, person.clip)
    checkpoint, layout = load_checkpoint(model_file(config)), SubjectLayout(config.data.root)
    steps, minutes = (float(checkpoint.metrics[key]) for key in ("steps", "minutes"))
    figures = {protocol: {c.key: c.value(result.rows) for c in COLUMNS} for protocol, result in results.items()}
    frames = layout.load_subject().frames
    predictor = Predictor(checkpoint, layout, config.train.device)
    moments, name = (
        moments_of(predictor, results["self"], config.data.test_fraction),
        title(person, steps, figures["self"]),
    )
    write_image(person.strip, strip(name, moments) if moments else line(f"{name}; no mouth was seen"))
    protocols = {protocol: result.rows for protocol, result in results.items()}
    return {"frames": frames, "steps": steps, "minutes": minutes, "figures": figures, "protocols": protocols}


def title(person: Person, steps: float, figures: dict[str, float]) -> str:
    """Of the person's strip: who it is, and the figures that one sees."""
    shown = {
        "opening_r": "r",
        "texture_inner": "texture inside",
        "texture_skin": "of the skin",
        "told_apart": "told apart",
    }
    return f"{person.label}, {steps:.0f} steps: " + ", ".join(
        f"{name} {_cell(figures[k])}" for k, name in shown.items()
    )


# ---------------------------------------------------------------- all of them


def median_of(values: Sequence[float]) -> float:
    """Of what was measured; NaN where nothing was."""
    known = [v for v in values if math.isfinite(v)]
    return statistics.median(known) if known else math.nan


def worst_of(values: Sequence[float], good: str) -> float:
    """The value that is farthest from what is good: "high", "low", or a number. About 1, twice is as far as half."""
    known = [v for v in values if math.isfinite(v)]
    far: dict[str, Callable[[float], float]] = {
        "high": lambda v: -v, "low": lambda v: v, "0.5": lambda v: v, "0": abs,
        "1": lambda v: abs(math.log(v)) if v > 0 else math.inf,
    }  # fmt: skip
    return max(known, key=far[good]) if known else math.nan


def summary(done: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """`median` and `worst` by protocol and column."""
    rows = [row for row in done.values() if "failed" not in row]
    out: dict[str, dict[str, dict[str, float]]] = {"median": {}, "worst": {}}
    for protocol in dict.fromkeys(p for row in rows for p in row["figures"]):
        values = {c: [_number(row["figures"][protocol][c.key]) for row in rows] for c in COLUMNS}
        out["median"][protocol] = {c.key: median_of(v) for c, v in values.items()}
        out["worst"][protocol] = {c.key: worst_of(v, BY_NAME[c.name].good) for c, v in values.items()}
    return out


def write(out: Path, content: dict[str, Any], done: dict[str, Any]) -> None:
    """people.json and people.md, as far as it went."""
    whole = _plain({**content, "people": done, **summary(done)})
    with atomic_path(out / "people.json") as path:
        path.write_text(json.dumps(whole, indent=1, allow_nan=False), encoding="utf-8")
    with atomic_path(out / "people.md") as path:
        path.write_text(tables(done), encoding="utf-8")


def tables(done: dict[str, Any]) -> str:
    """Markdown, for every protocol one line per person, the median and the worst."""
    total = summary(done)
    failed = [label for label, row in done.items() if "failed" in row]
    parts = [_table(protocol, done, total) for protocol in total["median"]]
    parts += ["".join(f"**{label} failed**: {done[label]['failed']}\n" for label in failed)] if failed else []
    return "\n".join(parts)


def _table(protocol: str, done: dict[str, Any], total: dict[str, dict[str, dict[str, float]]]) -> str:
    shown = [c for c in COLUMNS if math.isfinite(total["median"][protocol][c.key])]
    heads = [protocol, "frames", "steps", *(c.title for c in shown)]
    lines = [heads, ["---"] * len(heads)]
    for label, row in done.items():
        if "failed" in row:
            lines.append([label, *["failed"] * (len(heads) - 1)])
            continue
        figures = row["figures"][protocol]
        lines.append([label, f"{row['frames']}", f"{row['steps']:.0f}", *(_cell(figures[c.key]) for c in shown)])
    for name in ("median", "worst"):
        lines.append([f"**{name}**", "", "", *(_cell(total[name][protocol][c.key]) for c in shown)])
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def contact(target: Path, people: Sequence[Person], done: dict[str, Any]) -> None:
    """The contact sheet; a person that failed is a line."""
    lines = {p.label: f"{p.label} failed: {done[p.label].get('failed')}" for p in people}
    strips = [line(lines[p.label]) if "failed" in done[p.label] else read_image(p.strip) for p in people]
    write_image(target, sheet(strips))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _cell(value: float | None) -> str:
    return f"{value:.3g}" if value is not None and math.isfinite(value) else "–"


def _plain(value: Any) -> Any:
    """For JSON: what is no number is null."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
