# Sourced by the other scripts: an environment with the pinned requirements.
#
# Uses the active virtual environment, else makes .venv with the first Python found that is
# 3.10, 3.11 or 3.12, else 3.13 (whose MediaPipe needs a file, see requirements.txt). Installs
# only when a requirements file changed since the last time, so that everything works offline
# afterwards.
# usage: [EXTRA_REQUIREMENTS="file ..."] source scripts/env.sh

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

for list in requirements.txt ${EXTRA_REQUIREMENTS:-}; do
    stamp="$VIRTUAL_ENV/.speech2lip-$(basename "$list")"
    if ! cmp -s "$list" "$stamp"; then
        echo "installing $list"
        python -m pip install --quiet --requirement "$list"
        cp "$list" "$stamp"
    fi
done
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
