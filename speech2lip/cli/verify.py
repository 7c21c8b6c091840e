"""`speech2lip verify`: who made a video."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import UserError
from .common import Command


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", help="a video or a picture")
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="of somebody else who may have signed it (PEM)"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--my-certificate",
        action="store_true",
        help="print your own certificate, to be given to whoever checks your files",
    )


def _verify(options: argparse.Namespace) -> int:
    from ..provenance.identity import own_signer
    from ..provenance.verify import as_json, lines_of, verify

    if options.my_certificate:
        signer = own_signer()
        if signer is None:
            raise UserError("there is no certificate of yours yet: the first `speech2lip render` makes it")
        print(signer.chain.decode(), end="")
        return 0
    if options.file is None:
        raise UserError("no file was given: speech2lip verify result.mp4")
    verdict = verify(options.file, options.certificate)
    print(as_json(verdict) if options.json else "\n".join(lines_of(verdict)))
    return 0 if verdict.good else 1


COMMAND = Command(
    "say who made a video, how, and whether it was altered since", "speech2lip verify result.mp4", _add_verify, _verify,
)  # fmt: skip
