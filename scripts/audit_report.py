"""What pip-audit found, in sentences, and an exit status that says when it could not ask: python scripts/audit_report.py REPORT"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SOUND, VULNERABLE, UNKNOWN = 0, 1, 3


def verdict(report: dict[str, Any] | None) -> tuple[int, list[str]]:
    """Exit status and sentences; a package that the service does not know was not audited."""
    packages = report.get("dependencies", []) if report else []
    asked = [p for p in packages if "vulns" in p]
    missed = [p["name"] for p in packages if "vulns" not in p]
    lines = [
        f"{p['name']} {p['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'no version yet'}"
        for p in asked
        for v in p["vulns"]
    ]
    if lines:
        return VULNERABLE, lines
    if missed or not asked:
        what = f"{len(missed)} of {len(packages)} packages" if packages else "any package"
        return UNKNOWN, [f"skipped: the service of known vulnerabilities could not be asked about {what}"]
    return SOUND, [f"{len(asked)} packages, no known vulnerability"]


def main() -> int:
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    status, lines = verdict(json.loads(text) if text.strip() else None)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
