"""Optional files that a user brings: what each is for, its licence, where it lies, whether it is sound.

Nothing is downloaded unless `speech2lip weights fetch NAME` asks for it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from ..errors import UserError

BLOCK = 1 << 20
_TRACKING = "preprocess/data_util/face_tracking/3DMM"


@dataclass(frozen=True)
class WeightFile:
    """One optional file.

    path: below one of `places_of_weights()`; size: bytes, 0 where unknown; checksum: "sha1:", "sha256:" (may be
    a prefix) or "git:" (blob id) and hexadecimal digits, empty where none is known; url:
    public address, empty where there is none; source: how to get it otherwise; instead: the
    built-in alternative.
    """

    name: str
    path: str
    purpose: str
    licence: str
    size: int
    checksum: str
    url: str
    source: str
    instead: str

    @property
    def file(self) -> Path:
        """Where the file lies; where it would be put when it is missing."""
        places = [folder / self.path for folder in places_of_weights()]
        return next((p for p in places if p.is_file()), places[-1])

    def sibling(self, name: str) -> Path:
        """What is made of the file, and lies beside it, where either of them is."""
        places = [(folder / self.path).with_name(name) for folder in places_of_weights()]
        return next((p for p in places if p.is_file()), self.file.with_name(name))

    def remedy(self) -> str:
        """What to do when the file is missing or unusable."""
        get = f"run `speech2lip weights fetch {self.name}`" if self.url else self.source
        return f"{get} (licence: {self.licence}), or use {self.instead}"


_EXPRESSIONS = "https://github.com/YudongGuo/AD-NeRF/raw/master/data_util/face_tracking/3DMM"
FILES = (
    WeightFile(
        "bfm", f"{_TRACKING}/01_MorphableModel.mat", "head geometry and texture of the published tracker",
        "Basel Face Model 2009, by registration, research only", 0, "", "",
        "register at https://faces.dmi.unibas.ch/bfm/ and put the file of the 2009 release there",
        "face.tracker=bundle (built in) or face.tracker=gnm (open)",
    ),
    WeightFile(
        "bfm-expression", f"{_TRACKING}/exp_info.npy", "expression basis of the published tracker", "MIT (AD-NeRF)",
        0, "git:7a1b5469a9125430b5c911a5c9780855d1f9ff16", f"{_EXPRESSIONS}/exp_info.npy", "", "face.tracker=bundle",
    ),
    WeightFile(
        "bfm-topology", f"{_TRACKING}/topology_info.npy", "triangles of the tracker's 34,650 vertices", "MIT (AD-NeRF)",
        4_145_201, "sha256:2edff6a6ad574d2dddf0d0815e0beabfea9369d7c2d6e53e0ba81f809b81e963", f"{_EXPRESSIONS}/topology_info.npy", "", "face.tracker=bundle",
    ),
    WeightFile(
        "bfm-keys", f"{_TRACKING}/keys_info.npy", "landmark vertices of the tracker", "MIT (AD-NeRF)",
        7_375, "sha256:028d3c383bae129c4bdcac880e22c551a5d2436ec7db7a26f5c57148d12469e6", f"{_EXPRESSIONS}/keys_info.npy", "", "face.tracker=bundle",
    ),
    WeightFile(
        "gnm", "models/gnm_head.npz", "open head model for face.tracker=gnm", "Apache-2.0 (Google)", 0, "",
        "https://huggingface.co/google/gnm-v3/resolve/main/v3_0/gnm_head.npz", "", "face.tracker=bundle",
    ),
    WeightFile(
        "face-parsing", "preprocess/face_parsing/79999_iter.pth", "face.parsing=bisenet", "MIT (face-parsing.PyTorch)",
        0, "", "", "follow the link to the pretrained model in the README of github.com/zllrunning/face-parsing.PyTorch",
        "face.parsing=mediapipe",
    ),
    WeightFile(
        "deepspeech", "models/deepspeech-0_1_0-b90017e8.pb", "audio.backend=deepspeech", "MPL-2.0 (Mozilla)", 0,
        "sha1:b90017e816572ddce84f5843f1fa21e6a377975e",
        "https://github.com/osmr/deepspeech_features/releases/download/v0.0.1/deepspeech-0_1_0-b90017e8.pb.zip", "",
        "audio.backend=mel",
    ),
    WeightFile(
        "lipsync-expert", "models/lipsync_expert.pth", "sync.expert=wav2lip", "non-commercial (Wav2Lip)", 0, "", "",
        "follow the link to the expert discriminator in the README of github.com/Rudrabha/Wav2Lip", "sync.expert=own",
    ),
    WeightFile(
        "syncnet", "models/syncnet_v2.model", "LSE-C and LSE-D in evaluation", "research (VGG, Oxford)", 0, "",
        "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model", "",
        "the weight-free sync measures of the evaluation",
    ),
    WeightFile(
        "alexnet", "models/alexnet-owt-7be5be79.pth", "loss.perceptual=lpips: its backbone", "BSD-3 (torchvision)", 244_408_911,
        "sha256:7be5be79", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "", "loss.perceptual=structure (built in)",
    ),
    WeightFile(
        "lpips", "models/alex.pth", "loss.perceptual=lpips: its linear heads", "BSD-2 (PerceptualSimilarity)", 6_009, "",
        "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/alex.pth", "",
        "loss.perceptual=structure (built in)",
    ),
    WeightFile(
        "face-landmarker", "models/face_landmarker.task", "landmarks with MediaPipe 0.10.30 and later", "Apache-2.0 (Google)",
        3_758_596, "sha256:64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
        "", "mediapipe==0.10.21, which carries its weights (Python 3.10 to 3.12)",
    ),
    WeightFile(
        "may", "log/face_simple/may/model_may.pt", "the authors' pretrained subject", "none stated (authors of Speech2Lip)",
        0, "", "", "follow the link in the README of the authors' repository", "a model trained with `speech2lip train`",
    ),
)  # fmt: skip


def places_of_weights() -> list[Path]:
    """Folders below which weights are looked for; what is fetched goes below the last.

    $SPEECH2LIP_HOME alone where it is set; else the current folder (a checkout has the published
    places), then the user's cache.
    """
    given = os.environ.get("SPEECH2LIP_HOME")
    return [Path(given)] if given else [Path.cwd(), user_cache_path("speech2lip", appauthor=False)]


def find(name: str) -> WeightFile:
    """The entry of that name."""
    for entry in FILES:
        if entry.name == name:
            return entry
    raise UserError(
        f"no optional file is named {name!r}: `speech2lip weights` lists {', '.join(f.name for f in FILES)}"
    )


def require(name: str) -> Path:
    """Path of a file that is there and has the right checksum; UserError otherwise."""
    entry = find(name)
    state = check(entry)
    if state == MISSING:
        raise UserError(f"{entry.file} is missing ({entry.purpose}): {entry.remedy()}")
    if state == DAMAGED:
        raise UserError(
            f"{entry.file} is damaged (its checksum is not {entry.checksum}): remove it and {entry.remedy()}"
        )
    return entry.file


def describe(entry: WeightFile) -> str:
    """A file's purpose, licence, size, checksum, place and state, in a few lines."""
    size = f"{entry.size / 2**20:.1f} MB" if entry.size else "size unknown"
    return (
        f"{entry.name:<16} {check(entry)}\n    for: {entry.purpose}\n    licence: {entry.licence}; {size}\n"
        f"    checksum: {entry.checksum or 'none known'}\n    path: {entry.file}"
    )


def explain(name: str) -> str:
    """Where a file comes from and where it must lie, in a few lines."""
    entry = find(name)
    get = f"`speech2lip weights fetch {name}` downloads it from {entry.url}" if entry.url else entry.source
    return (
        f"{name}: {entry.purpose}\nlicence: {entry.licence}\nget it: {get}\nput it at: {entry.file}\n"
        f"now: {check(entry)}\nwithout it: {entry.instead}"
    )


MISSING, SOUND, DAMAGED, UNVERIFIED = "missing", "sound", "damaged", "there, no checksum known"


def check(entry: WeightFile) -> str:
    """One of MISSING, SOUND, DAMAGED, UNVERIFIED."""
    if not entry.file.is_file():
        return MISSING
    if not entry.checksum:
        return UNVERIFIED if entry.file.stat().st_size > 0 else DAMAGED
    return SOUND if matches(entry.file, entry.checksum) else DAMAGED


def matches(path: Path, checksum: str) -> bool:
    """Whether a file has a checksum ("sha1:...", "sha256:...", "git:..."; a prefix is enough)."""
    kind, wanted = checksum.split(":")
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1()  # nosec B324 # two publishers give no better sum
    if kind == "git":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest().startswith(wanted)
