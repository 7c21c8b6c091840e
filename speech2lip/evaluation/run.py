"""Evaluations from beginning to end: measure, write the files, print the table."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..extras import needs
from ..locks import reader_of
from ..media.sound import check_sound
from ..model.checkpoint import load_checkpoint
from ..model.device import pick_device
from ..subject.layout import SubjectLayout
from .pair import evaluate_pair
from .protocols import Result, evaluate_cross, evaluate_new, evaluate_self, shared_cores
from .report import (
    Evaluation,
    check_report,
    machine_facts,
    print_table,
    subject_facts,
    training_facts,
    write_evaluation,
)

PROTOCOLS = ("self", "cross")


def check_packages() -> None:
    """Refuse where packages that measures and reports need are missing."""
    needs("evaluate", "jinja2", "matplotlib", "skimage")


def evaluate(
    model: Path, root: Path | None = None, out: Path | None = None, protocols: Sequence[str] = PROTOCOLS, device: str = "auto",
    audio: Path | None = None,
) -> dict[str, Result]:  # fmt: skip
    """Measure a checkpoint on its subject; with `out`, write the report there. Results by protocol.

    protocols: of "self" and "cross"; audio: a file with other speech, measured as "new"
    instead.
    """
    check_packages()
    if out is not None:
        check_report(out)
    if audio is not None:
        check_sound(audio)
    checkpoint = load_checkpoint(model)
    layout = SubjectLayout(root or checkpoint.config.data.root)
    reading = reader_of(layout.root, "speech2lip evaluate")
    with reading, tempfile.TemporaryDirectory(prefix="speech2lip-") as folder:
        kept, results = Path(folder), {}
        with shared_cores():
            if audio is not None:
                results["new"] = evaluate_new(checkpoint, layout, audio, kept, device)
            if audio is None and "self" in protocols:
                results["self"] = evaluate_self(checkpoint, layout, kept, device)
            if audio is None and "cross" in protocols:
                known = results["self"].recordings["real"] if "self" in results else None
                results["cross"] = evaluate_cross(checkpoint, layout, kept, device, known)
        if out is not None:
            facts = {
                "Subject": subject_facts(layout.load_subject()), "Training": training_facts(checkpoint),
                "Machine": machine_facts(str(pick_device(device))),
            }  # fmt: skip
            _publish(Evaluation(layout.load_subject().name, list(results.values()), facts), out)
    return results


def evaluate_videos(generated: Path, real: Path, out: Path | None = None) -> Result:
    """Measure any generated video against the real one of the same frames."""
    check_packages()
    if out is not None:
        check_report(out)
    with tempfile.TemporaryDirectory(prefix="speech2lip-") as folder:
        result = evaluate_pair(generated, real, Path(folder))
        if out is not None:
            facts = {"Videos": {"generated": generated.name, "real": real.name}, "Machine": machine_facts()}
            _publish(Evaluation(generated.stem, [result], facts), out)
    return result


def _publish(evaluation: Evaluation, out: Path) -> None:
    page = write_evaluation(evaluation, out)
    print_table(evaluation.results)
    print(f"\nreport: {page}")
