"""The documentation names what exists: its links, files, settings and measures."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from speech2lip.config import Config
from speech2lip.evaluation.summary import METRICS

ROOT = Path(__file__).resolve().parents[1]
GUIDE = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [*GUIDE, *sorted(p for p in ROOT.glob("*/README.md") if p.parent.name != "docs"), *sorted(ROOT.glob("*.md"))]


def test_relative_links_resolve():
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))]
    local = [(page, link.split("#")[0]) for page, link in links if not re.match(r"[a-z]+:|#", link)]
    broken = [f"{page.relative_to(ROOT)}: {link}" for page, link in local if not (page.parent / link).exists()]
    assert len(local) > 40 and not broken, broken


def test_files_that_the_guide_names_exist():
    named = {
        (p, name) for p in GUIDE for name in re.findall(r"`((?:speech2lip|tests|benchmarks)/[\w/]+\.\w+)`", _text(p))
    }
    missing = sorted(f"{p.relative_to(ROOT)}: {name}" for p, name in named if not (ROOT / name).is_file())
    assert len(named) > 40 and not missing, missing


def test_places_of_the_tour_exist():
    """Each answer of the tour through the architecture is a name in that very file."""
    rows = re.findall(r"^\| .* \| `(speech2lip/[\w/]+\.py)` \| (.*) \|$", _text(ROOT / "docs/architecture.md"), re.M)
    lacking = []
    for file, answer in rows:
        for name in re.findall(r"`([A-Za-z_.]+)", answer):
            if name != "loss" and name.split(".")[-1] not in (ROOT / file).read_text("utf-8"):
                lacking.append(f"{file}: {name}")
    assert len(rows) >= 12 and not lacking, lacking


def test_settings_that_the_guide_names_exist():
    sections = "|".join(item.name for item in fields(Config) if is_dataclass(getattr(Config(), item.name)))
    setting = re.compile(rf"(?<![\w./])((?:{sections})\.[a-z0-9_.]+)=|`((?:{sections})\.[a-z0-9_.]+)`")
    named = {(p, a or b) for p in GUIDE for a, b in setting.findall(_text(p))}
    unknown = sorted(f"{p.relative_to(ROOT)}: {key}" for p, key in named if not key.endswith(".pt") and not _known(key))
    assert len(named) > 20 and not unknown, unknown


def test_every_measure_is_defined():
    page = _text(ROOT / "docs/quality.md")
    assert not [metric.name for metric in METRICS if f"`{metric.name}`" not in page]


def test_every_page_can_be_reached():
    """From a list of links: the site's navigation, or the index of the experiments."""
    listed = _text(ROOT / "mkdocs.yml") + _text(ROOT / "docs/experiments/README.md")
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    assert not [p for p in pages if p.removeprefix("experiments/") not in listed]


def _text(path: Path) -> str:
    return path.read_text("utf-8")


def _known(key: str) -> bool:
    value: Any = Config()
    for name in key.split("."):
        if not hasattr(value, name):
            return False
        value = getattr(value, name)
    return True
