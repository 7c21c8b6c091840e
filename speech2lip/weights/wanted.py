"""Which optional files a configuration asks for, so that a missing one is found before anything slow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..config import Config
from ..errors import UserError
from .registry import MISSING, check, find, require

PREPROCESS, TRAIN = "preprocess", "train"  # the steps that read such files

# Step; the setting as the user writes it; whether it is chosen; what it reads.
_WANTED: tuple[tuple[str, str, Callable[[Config], bool], tuple[str, ...]], ...] = (
    (PREPROCESS, "face.tracker=bfm", lambda c: c.face.tracker == "bfm", ("bfm", "bfm-expression", "bfm-topology", "bfm-keys")),
    (PREPROCESS, "face.tracker=gnm", lambda c: c.face.tracker == "gnm", ("gnm",)),
    (PREPROCESS, "face.parsing=bisenet", lambda c: c.face.parsing == "bisenet", ("face-parsing",)),
    (PREPROCESS, "audio.backend=deepspeech", lambda c: _needs_graph(c), ("deepspeech",)),
    (TRAIN, "loss.perceptual=lpips", lambda c: c.loss.perceptual == "lpips" and c.loss.perceptual_weight > 0, ("alexnet", "lpips")),
    (TRAIN, "sync.expert=wav2lip", lambda c: c.sync.expert == "wav2lip", ("lipsync-expert",)),
)  # fmt: skip

_OWN_VERSIONS = ("bfm-expression", "bfm-topology", "bfm-keys")  # files that users may have made themselves


def _needs_graph(config: Config) -> bool:
    """DeepSpeech is read from the frozen graph, unless that was converted before or another file was named."""
    if config.audio.backend != "deepspeech" or config.audio.model:
        return False
    entry = find("deepspeech")
    return not entry.sibling(f"{entry.file.stem}.safetensors").is_file()


def check_weights(config: Config, steps: Iterable[str] = (PREPROCESS, TRAIN)) -> None:
    """Refuse a configuration whose `steps` would miss an optional file, or find a damaged one.

    Takes as long as reading the files once, for their checksums. Speech models of transformers are
    checked by `audio.features.make_backend`.
    """
    steps = tuple(steps)
    given = Path(config.audio.model) if config.audio.backend == "deepspeech" and config.audio.model else None
    if PREPROCESS in steps and given is not None and not given.is_file():
        raise UserError(
            f"{given}, which audio.model names, is missing: give the converted network, or unset audio.model"
        )
    prior = Path(config.model.prior)
    if TRAIN in steps and config.model.prior and not prior.is_file():
        raise UserError(
            f"{prior}, which model.prior names, is missing: learn it with `speech2lip prior`, or unset model.prior"
        )
    for step, setting, chosen, names in _WANTED:
        if step in steps and chosen(config):
            _require_all(setting, names)


def _require_all(setting: str, names: tuple[str, ...]) -> None:
    missing = [name for name in names if check(find(name)) == MISSING]
    if len(missing) > 1:
        paths, ways = (", ".join(parts) for parts in ([str(find(n).file) for n in missing], missing))
        raise UserError(
            f"{setting} needs files that are missing, {paths}: `speech2lip weights where NAME` says for each of {ways} how to get "
            f"it, or use {find(missing[0]).instead}"
        )
    for name in names:
        if name in missing or name not in _OWN_VERSIONS:
            require(name)
