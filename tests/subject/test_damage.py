"""Every damage of a subject's folder that has been seen is refused in one sentence that names the file."""

import io
import json
import shutil
import zipfile

import cv2
import numpy as np
import pytest
import torch

from speech2lip.errors import UserError
from speech2lip.subject.dataset import SubjectDataset
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from tests.fuzz import seeds


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return seeds.make_subject(tmp_path_factory.mktemp("sound")).root


@pytest.fixture
def layout(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "subject")
    return SubjectLayout(tmp_path / "subject")


def _read(layout):
    SubjectDataset(parse_subject(layout, 0.0), torch.device("cpu"), 1.0)


def _entry(**changes):
    def damage(layout):
        raw = json.loads(layout.subject.read_text())
        for name, value in changes.items():
            section, _, key = name.partition("__")
            (raw[section] if key else raw)[key or section] = value
        layout.subject.write_text(json.dumps(raw))

    return damage


def _array(name, change):
    def damage(layout):
        with np.load(layout.track) as data:
            arrays = dict(data)
        arrays[name] = change(arrays[name])
        np.savez(layout.track, **{k: v for k, v in arrays.items() if v is not None})

    return damage


def _nan(array):
    array = array.copy()
    array[3, 0] = np.nan
    return array


def _bomb(layout):
    """A megabyte that becomes a gigabyte, in the place of the landmarks."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (80, 478, 2)})
    with (
        zipfile.ZipFile(layout.track, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("landmarks.npy", "w") as stream,
    ):
        stream.write(head.getvalue())
        for _ in range(64):
            stream.write(bytes(2**24))


def _promise(layout):
    with open(layout.depth, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (64, 64)})
        stream.write(b"few")


DAMAGES = {
    "subject list": (lambda x: x.subject.write_text("[]"), "subject.json"),
    "subject empty": (lambda x: x.subject.write_text(""), "subject.json"),
    "subject nested": (lambda x: x.subject.write_text("[" * 50_000), "subject.json"),
    "frames": (_entry(frames=10**12), "frames"),
    "frames more than tracked": (_entry(frames=81), "track.npz"),
    "crop side": (_entry(crop__side=0), "crop.side"),
    "crop size": (_entry(crop__size=10**6), "crop.size"),
    "camera": (_entry(camera__focal=float("nan")), "camera.focal"),
    "canonical": (_entry(canonical_frame=80), "canonical_frame"),
    "region": (_entry(region_size=10**5), "region_size"),
    "shots": (_entry(shots=[[0, 50], [40, 80]]), "shots"),
    "audio": (_entry(audio__window=10**9), "window"),
    "fps": (_entry(fps="25"), "fps"),
    "track empty": (lambda x: x.track.write_bytes(b""), "track.npz"),
    "track truncated": (lambda x: x.track.write_bytes(x.track.read_bytes()[:5000]), "track.npz"),
    "track entry": (_array("mouth", lambda a: None), "mouth is missing"),
    "track shape": (_array("landmarks", lambda a: a[:, :400]), "landmarks has the shape"),
    "track type": (_array("valid", lambda a: a.astype(float)), "valid is of type"),
    "track length": (_array("rotvec", lambda a: a[:-1]), "rotvec has the shape"),
    "track nan": (_array("trans", _nan), "trans has values"),
    "track objects": (_array("mesh", lambda a: np.array([{}], object)), "mesh is of type"),
    "track gain": (_array("exposure", lambda a: a * 0), "gain"),
    "track bomb": (_bomb, "landmarks does not have the size"),
    "depth promise": (_promise, "depth_face_canonical.npy"),
    "depth size": (lambda x: np.save(x.depth, np.ones((64, 63), np.float32)), "depth_face_canonical.npy"),
    "depth nan": (lambda x: np.save(x.depth, np.full((64, 64), np.nan, np.float32)), "depth_face_canonical.npy"),
    "features shape": (lambda x: np.save(x.features, np.zeros((80, 8, 79), np.float16)), "audio.npy"),
    "features nan": (lambda x: np.save(x.features, np.full((80, 8, 80), np.nan, np.float16)), "audio.npy"),
    "features info": (lambda x: x.features.with_suffix(".json").write_text("[]"), "audio.json"),
    "black mask": (lambda x: cv2.imwrite(str(x.lip_mask), np.zeros((64, 64), np.uint8)), "is black"),
    "mask size": (lambda x: cv2.imwrite(str(x.face_mask), np.ones((64, 32), np.uint8)), "32 x 64, needed is 64 x 64"),
    "lip size": (lambda x: cv2.imwrite(str(x.lip_image(7)), np.zeros((16, 24, 3), np.uint8)), "24 x 16, needed is 16 x 16"),
    "lip missing": (lambda x: x.lip_image(7).unlink(), "00007.jpg is missing"),
    "face empty": (lambda x: x.face_image(7).write_bytes(b""), "00007.jpg"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_by_name(layout, damage):
    change, named = DAMAGES[damage]
    change(layout)
    with pytest.raises(UserError, match=r"preprocess") as refused:
        _read(layout)
    assert named in str(refused.value) and str(layout.root) in str(refused.value) and "\n" not in str(refused.value)


def test_a_sound_folder_is_read(layout):
    _read(layout)
