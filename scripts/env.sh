# Sourced by the other scripts: an environment in which this checkout is installed (editable).
#
# Uses the active virtual environment, else makes .venv with the first Python found that is
# 3.10, 3.11 or 3.12, else 3.13 (whose MediaPipe needs a file, see constraints.txt). Installs only
# when pyproject.toml, constraints.txt or the wanted extras changed since the last time, so that
# everything works offline afterwards; not at all where SPEECH2LIP_INSTALL=no says that the active
# environment has what is needed (tests run copies of these scripts so).
# usage: [EXTRAS="demo,evaluate"] source scripts/env.sh

cd "$(dirname "${BASH_SOURCE[0]}")/.."

fitting() { # command, oldest and newest minor version
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c "import sys, venv; sys.exit(not (3, $2) <= sys.version_info[:2] <= (3, $3))" >/dev/null 2>&1
}

if [ -z "${VIRTUAL_ENV:-}" ]; then
    if [ ! -x .venv/bin/python ]; then
        for candidate in python3 python3.12 python3.11 python3.10 python; do
            if fitting "$candidate" 10 12; then chosen=$candidate && break; fi
        done
        for candidate in python3 python3.13 python; do
            if [ -z "${chosen:-}" ] && fitting "$candidate" 13 13; then chosen=$candidate; fi
        done
        if [ -z "${chosen:-}" ]; then
            echo "error: no Python 3.10 to 3.13 was found: install one, or activate a virtual environment of it" >&2
            exit 2
        fi
        echo "making .venv with $($chosen --version)"
        "$chosen" -m venv .venv
    fi
    # shellcheck disable=SC1091
    source .venv/bin/activate
fi

# What is installed is remembered for each set of extras; dev holds what demo and evaluate need.
EXTRAS=${EXTRAS:-demo,evaluate}
stamp="$VIRTUAL_ENV/.speech2lip-${EXTRAS//,/-}"
if [ "$EXTRAS" = demo,evaluate ] && [ -f "$VIRTUAL_ENV/.speech2lip-dev" ] && [ ! -f "$stamp" ]; then
    stamp="$VIRTUAL_ENV/.speech2lip-dev"
fi
if [ "${SPEECH2LIP_INSTALL:-yes}" != no ] && ! cat pyproject.toml constraints.txt | cmp -s - "$stamp"; then
    echo "installing Speech2Lip with $EXTRAS (once; some minutes)"
    python -m pip install --quiet --constraint constraints.txt --editable ".[$EXTRAS]"
    cat pyproject.toml constraints.txt >"$VIRTUAL_ENV/.speech2lip-${EXTRAS//,/-}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
