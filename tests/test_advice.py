"""What messages advise exists: options of the commands that can say so, commands, and settings."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from speech2lip.cli import COMMANDS
from speech2lip.cli.commands import parser_of
from speech2lip.config import entries

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "speech2lip"
# Commands (or published scripts) that reach a room's code, and so its messages.
PREPARING, TRAINING = ("run", "preprocess", "doctor"), ("run", "train", "demo", "train.py")
SPEAKERS = {
    "library": ("subjects",), "subject/consent.py": ("preprocess", "run"), "subject/schema.py": ("preprocess", "run"),
    "training/prior.py": ("prior",), "detection/choice.py": PREPARING, "diagnosis/report.py": ("doctor",), "diagnosis": PREPARING, "preparation": PREPARING, "training": TRAINING, "demo": ("demo",), "importing/dataset.py": ("import",),
    "importing/config.py": ("import",), "importing/checkpoint.py": ("import",), "rendering/predictor.py": ("render",),
    "rendering/files.py": ("render",), "rendering/dubbing.py": ("render",), "rendering/live.py": ("render",), "rendering/posing.py": ("render",), "media/pcm.py": ("render",),
    "evaluation": ("evaluate",), "rendering/output.py": ("run", "render"), "weights/fetch.py": ("weights",),
    "service/server.py": ("serve", "studio"), "provenance/verify.py": ("verify",), "provenance": ("run", "render"),
}  # fmt: skip
_SHARED = {  # functions of the commands' rooms that others use too
    "model_of": ("render", "evaluate", "listen"), "check_training": ("run",), "_which": ("render",), "APART": ("run", "preprocess", "doctor"), "check_listening": ("serve", "studio"),
}  # fmt: skip
_FILES = {"settings": "config", "imports": "import"}  # commands whose file has another name
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z_-]*")
_COMMAND = re.compile(r"speech2lip ([a-z]+)((?: [^`|\n]*)?)")


def _text(node: ast.AST) -> str | None:
    """A string, or an f-string with its values left out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return None


def _documented(tree: ast.AST) -> set[int]:
    """Nodes that are docstrings or help of options."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            found.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            found |= {id(v) for v in node.values}
        if isinstance(node, ast.keyword) and node.arg in ("help", "description", "epilog"):
            found |= {id(n) for n in ast.walk(node.value)}
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            found |= {id(n) for n in node.args}
    return found


def _sentences() -> list[tuple[str, str, str]]:
    """(file, function, text) of every string in the code."""
    out = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        apart = _documented(tree)
        for top in tree.body:
            for node in ast.walk(top):
                text = _text(node)
                if text is not None and id(node) not in apart:
                    out.append((path.relative_to(PACKAGE).as_posix(), getattr(top, "name", ""), text))
    return out


SENTENCES = _sentences()
ADVICE = [(f, g, t) for f, g, t in SENTENCES if _OPTION.search(t)]


def _options_of(command: str) -> set[str]:
    if command.endswith(".py"):
        return set(re.findall(r'"(--[a-z_]+)"', (ROOT / command).read_text("utf-8")))
    parser: argparse.ArgumentParser = parser_of(command, COMMANDS[command])
    return set(parser._option_string_actions)


def _speakers(file: str, function: str) -> tuple[str, ...]:
    if file.startswith("cli/"):
        own = Path(file).stem
        return _SHARED.get(function, (_FILES.get(own, own),))
    return next((commands for start, commands in SPEAKERS.items() if file.startswith(start)), ())


def test_options_that_messages_name_are_options_of_every_command_that_can_say_so():
    checked, wrong = 0, []
    for file, function, text in ADVICE:
        alone = re.sub(r"`[^`]*`", "", text)  # whole command lines are looked at below
        if (
            function in ("main", "_main", "_add_run", "_overview", "_with_their_values")
            or file == "jobs/orders.py"  # makes command lines, which its tests parse
            or file in ("config_text.py",)
            or "speech2lip " in alone
        ):
            continue
        named = set(_OPTION.findall(alone))
        if not named or "without --video" in text:  # the meaning of data.video
            continue
        commands = _speakers(file, function)
        if text.startswith("give this one another"):
            commands = PREPARING if "--name" in text else ("preprocess",)
        if not commands:
            wrong.append(f"{file}: {function} says {named}, but who can say so is not listed here: {text}")
        for command in commands:
            checked += 1
            wrong += [f"{command} has no {o}: {file}: {text}" for o in named - _options_of(command)]
    assert checked > 15 and not wrong, "\n".join(wrong)


def test_commands_that_messages_name_exist_with_their_options():
    checked, wrong = 0, []
    for file, _, text in SENTENCES:
        for command, rest in _COMMAND.findall(text):
            if not (f"`speech2lip {command}" in text or file.startswith("cli/")) or command not in COMMANDS:
                if f"`speech2lip {command}" in text:
                    wrong.append(f"there is no command {command}: {file}: {text}")
                continue
            checked += 1
            wrong += [f"{command} has no {o}: {file}" for o in set(_OPTION.findall(rest)) - _options_of(command)]
    assert checked > 15 and not wrong, "\n".join(wrong)


def test_settings_that_messages_name_exist():
    known = {name for name, _, _ in entries()}
    sections = {name.split(".")[0] for name in known if "." in name}
    named = {
        (file, name)
        for file, _, text in SENTENCES
        if " " in text and file != "config.py" and not file.startswith("cli/")
        for name in re.findall(r"(?<![\w/.`*])([a-z0-9]+(?:\.[a-z_0-9]+)+)(?![\w/(])", text)
        if name.split(".")[0] in sections and not re.search(r"\.(pt|py|wav|npy|json|npz|safetensors|bin)$", name)
    }
    unknown = sorted(f"{file}: {name}" for file, name in named if name not in known)
    assert len(named) > 8 and not unknown, unknown


@pytest.mark.parametrize("command", ["run", "preprocess"])
def test_the_voice_is_the_same_option_everywhere(command):
    assert "--voice" in _options_of(command)
