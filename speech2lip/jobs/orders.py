"""What can be ordered, and the commands that carry it out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..config import SILENCES, load_settings
from ..errors import UserError
from ..files import check_input
from ..names import is_plain

Value = str | float | bool
Values = Mapping[str, Value]
RESULT = "result.mp4"  # in the job's folder: what `speak` makes


@dataclass(frozen=True)
class Order:
    """What is asked for. kind: of `KINDS`; name: of the subject; values: of the parameters that this kind has.

    Files are absolute paths, which exist.
    """

    kind: str
    name: str
    values: Values = field(default_factory=dict)


FILE, NUMBER, TEXT, YES = "file", "number", "text", "yes"


@dataclass(frozen=True)
class Parameter:
    """kind: FILE, NUMBER, TEXT or YES; check: returns what is wrong with a value, or ""; needed: an order without it is refused."""

    kind: str
    check: Callable[[Value], str]
    needed: bool = False

    def read(self, text: str) -> Value:
        """The value that a text stands for; the text itself where it stands for none."""
        if self.kind == NUMBER:
            with suppress(ValueError):
                return float(text)
        if self.kind == YES:
            return {"true": True, "yes": True, "false": False, "no": False}.get(text.strip().lower(), text)
        return text


def _file(what: str, needed: bool = False) -> Parameter:
    def check(value: Value) -> str:
        if not isinstance(value, str) or not Path(value).is_absolute():
            return "it is no absolute path of a file"
        check_input(Path(value), what, folders=True)
        return ""

    return Parameter(FILE, check, needed)


def _number(low: float, high: float, needed: bool = False) -> Parameter:
    def check(value: Value) -> str:
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        return "" if low <= number <= high else f"it is no number between {low:g} and {high:g}"

    return Parameter(NUMBER, check, needed)


def _one_of(*known: str) -> Parameter:
    return Parameter(TEXT, lambda value: "" if value in known else f"it is none of {', '.join(known)}")


def _text(most: int) -> Parameter:
    def check(value: Value) -> str:
        sound = isinstance(value, str) and value.isprintable() and 0 < len(value) <= most
        return "" if sound else f"it is no text of 1 to {most} printable characters"

    return Parameter(TEXT, check)


_YES = Parameter(YES, lambda value: "" if isinstance(value, bool) else "it is neither true nor false")
_LONGEST = 10_000.0  # minutes of one training
_CLIP = {"video": _file("a video", needed=True), "voice": _file("speech"), "face": _text(20)}
_TRAINING = {"minutes": _number(0.05, _LONGEST, needed=True), "preset": _one_of("fast", "tiny", "faithful")}
KINDS: dict[str, dict[str, Parameter]] = {
    "examine": _CLIP,
    "learn": {**_CLIP, **_TRAINING, "consent": _YES, "anyway": _YES},
    "train": _TRAINING,
    "speak": {
        "audio": _file("speech"), "segments": _file("times"), "start": _number(0, 1e9), "silence": _one_of(*SILENCES),
        "articulation": _number(0, 3), "steady": _number(0, 1), "pose": _one_of("source", "hold"), "label": _text(60), "keep_length": _YES,
    },
    "evaluate": {},
}  # fmt: skip


def check_order(order: Order) -> None:
    """Refuse what cannot be carried out, before it is queued."""
    if order.kind not in KINDS:
        raise UserError(f"there is no kind of job {order.kind!r}: give one of {', '.join(KINDS)}")
    if not is_plain(order.name) or order.name.startswith((".", "-")):
        raise UserError(f"{order.name!r} cannot be a subject's name: give a plain one, such as anna")
    known = KINDS[order.kind]
    for name, value in order.values.items():
        if name not in known:
            raise UserError(f"a job {order.kind!r} has no parameter {name!r}: it has {', '.join(known) or 'none'}")
        if wrong := known[name].check(value):
            raise UserError(f"{name} of the job is {value!r}, but {wrong}")
    for name, parameter in known.items():
        if parameter.needed and name not in order.values:
            raise UserError(f"a job {order.kind!r} needs {name}: give it")
    if order.kind == "speak" and not {"audio", "segments"} & set(order.values):
        raise UserError("a job 'speak' needs audio, or segments: give one of them")
    if order.kind in ("learn", "train"):
        load_settings(_preset(order), {"train.minutes": order.values["minutes"]})


def commands(order: Order, folder: Path) -> list[list[str]]:
    """Arguments of `speech2lip`, one list for each command, in the order in which they are run.

    folder: of the job, for its results. Commands run in the folder that holds `dataset` and `log`.
    """
    values = order.values
    if order.kind == "examine":
        out = ["--out", str(folder / "doctor"), "--anyway"]
        return [
            ["doctor", f"--video={values['video']}", f"--name={order.name}", *out, *_options(values, "voice", "face")]
        ]
    if order.kind == "speak":
        return [["render", f"--name={order.name}", f"--out={folder / RESULT}", *_options(values, *KINDS["speak"])]]
    if order.kind == "evaluate":
        return [["evaluate", f"--name={order.name}", f"--out={folder / 'evaluation'}"]]
    train = ["train", f"--name={order.name}", *_preset_option(order), f"train.minutes={values['minutes']:g}"]
    if order.kind == "train":
        return [train]
    agreed = ["--i-have-consent"] if values.get("consent") else []
    learn = ["preprocess", f"--video={values['video']}", f"--name={order.name}", *agreed, *_preset_option(order)]
    return [[*learn, *_options(values, "voice", "face", "anyway")], train]


def _options(values: Values, *names: str) -> list[str]:
    """`--name=value` of those that are given; true stands alone."""
    out = []
    for name in names:
        value, option = values.get(name, False), f"--{name.replace('_', '-')}"
        if value is True:
            out.append(option)
        elif value is not False:
            out.append(f"{option}={int(value) if name == 'start' else value}")
    return out


def _preset(order: Order) -> str | None:
    return str(order.values["preset"]) if "preset" in order.values else None


def _preset_option(order: Order) -> list[str]:
    preset = _preset(order)
    return [] if preset is None else [f"--config={preset}"]
