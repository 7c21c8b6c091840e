#!/usr/bin/env bash
# Known vulnerabilities of the pinned packages (constraints.txt), by pip-audit, which asks a service on the network.
# Exit status 0: all packages were looked up and none is known to be vulnerable; 1: some are; 3: the service could not
# be asked about all of them, so that nothing is known.
# usage: bash scripts/audit.sh   (installs pip-audit into build/audit)
set -euo pipefail
cd "$(dirname "$0")/.."
audit=${PIP_AUDIT:-build/audit/bin/pip-audit}
if [ ! -x "$audit" ]; then
    python3 -m venv build/audit
    build/audit/bin/python -m pip install --quiet "pip-audit>=2.9"
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
"$audit" --requirement constraints.txt --no-deps --disable-pip --progress-spinner off --format json --output "$report" || true
exec python3 scripts/audit_report.py "$report"
