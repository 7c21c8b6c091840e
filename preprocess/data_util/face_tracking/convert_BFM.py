"""Basel Face Model 2009 and AD-NeRF's files in `3DMM/` -> one safe file beside them.

usage: cd preprocess/data_util/face_tracking/ && python convert_BFM.py
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from speech2lip.errors import run_guarded
from speech2lip.tracking.morphable.bfm import convert_bfm


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    return run_guarded(convert)


def convert() -> int:
    print(f"{convert_bfm()}: written; face.tracker=bfm is ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
