"""Optional files: the list, downloads, and what happens to missing, damaged and malicious ones."""

import hashlib
import http.server
import io
import os
import pickle
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speech2lip.cli import main
from speech2lip.config import Config, default_config
from speech2lip.errors import UserError
from speech2lip.nets.pretrained.bisenet import BiSeNet
from speech2lip.nets.pretrained.lpips import Lpips
from speech2lip.weights import fetch, registry
from speech2lip.weights.safeload import fill, load_arrays, load_pickled_dict, load_state, load_torch

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPEECH2LIP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# ---------------------------------------------------------------- the list


def test_every_entry_says_what_a_user_needs():
    for entry in registry.FILES:
        assert entry.purpose and entry.licence and entry.instead and (entry.url or entry.source), entry.name
        assert not Path(entry.path).is_absolute()
    assert len({e.name for e in registry.FILES}) == len(registry.FILES)


def test_list_and_where_need_no_file(home, capsys):
    assert main(["weights"]) == 0
    listed = capsys.readouterr().out
    assert all(entry.name in listed and entry.licence in listed for entry in registry.FILES)
    assert main(["weights", "where", "bfm"]) == 0
    assert "faces.dmi.unibas.ch" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["fetch"], ["where", "nonsense"], ["fetch", "bfm"]])
def test_wrong_requests_get_one_sentence(home, capsys, arguments):
    assert main(["weights", *arguments]) == 2
    assert capsys.readouterr().err.count("error:") == 1


def test_state_of_a_file(home, monkeypatch):
    entry = registry.find("face-landmarker")
    assert registry.check(entry) == registry.MISSING
    entry.file.parent.mkdir(parents=True)
    entry.file.write_bytes(b"wrong")
    assert registry.check(entry) == registry.DAMAGED
    with pytest.raises(UserError, match=r"face_landmarker\.task is damaged"):
        registry.require("face-landmarker")
    good = replace(entry, checksum="sha256:" + hashlib.sha256(b"wrong").hexdigest())
    assert registry.check(good) == registry.SOUND


def test_git_checksums_are_git_blob_ids(tmp_path):
    (tmp_path / "x").write_bytes(b"hello\n")
    assert registry.matches(tmp_path / "x", "git:ce013625030ba8dba906f756967f9e9ca394464a")


def test_real_files_are_sound(clips, monkeypatch):
    """What lies beside the repository has the checksums of the list."""
    shared = clips.parent
    for name, path in (
        ("bfm-topology", shared / "bfm/topology_info.npy"), ("bfm-keys", shared / "bfm/keys_info.npy"),
        ("face-landmarker", shared / "weights/face_landmarker.task"),
    ):  # fmt: skip
        entry = registry.find(name)
        assert path.stat().st_size == entry.size and registry.matches(path, entry.checksum)


# ---------------------------------------------------------------- downloads


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; /short ends early, /zip is an archive."""

    def do_GET(self):
        body = CONTENT
        if self.path.endswith(".zip"):
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as archive:
                archive.writestr("inner/file.bin", CONTENT)
            body = stream.getvalue()
        if self.path == "/nothing":
            self.send_error(404)
            return
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", f"ftp://127.0.0.1:{self.server.server_port}/file.bin")
            self.end_headers()
            return
        asked = self.headers.get("Range")
        start = int(asked.split("=")[1].rstrip("-")) if asked else 0
        self.server.asked.append(start)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        part = body[start:]
        self.wfile.write(part[: len(part) // 2] if self.path == "/short" and not asked else part)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def entry(home, server, monkeypatch):
    """An invented file of the list, served from this machine."""

    def make(path: str, checksum: str = "sha256:" + hashlib.sha256(CONTENT).hexdigest()):
        address = f"http://127.0.0.1:{server.server_port}/{path}"
        made = registry.WeightFile("invented", "models/file.bin", "tests", "none", 0, checksum, address, "", "nothing")
        monkeypatch.setattr(registry, "FILES", (made,))
        monkeypatch.setattr(fetch, "SCHEMES", ("http",))  # a certificate for this machine would have to be made
        return made

    return make


def test_fetch_downloads_and_verifies(entry):
    made = entry("file.bin")
    assert fetch.fetch("invented").read_bytes() == CONTENT
    assert registry.check(made) == registry.SOUND and list(made.file.parent.iterdir()) == [made.file]


def test_fetch_continues_an_interrupted_download(entry, server):
    made = entry("short")
    with pytest.raises(UserError, match="continues"):
        fetch.fetch("invented")
    assert not made.file.exists()
    assert fetch.fetch("invented").read_bytes() == CONTENT
    assert server.asked == [0, len(CONTENT) // 2]


def test_fetch_refuses_a_wrong_checksum(entry):
    made = entry("file.bin", "sha256:" + "0" * 64)
    with pytest.raises(UserError, match="checksum"):
        fetch.fetch("invented")
    assert not any(made.file.parent.iterdir())


def test_fetch_takes_the_file_out_of_an_archive(entry):
    made = entry("archive.zip")
    assert fetch.fetch("invented").read_bytes() == CONTENT
    assert list(made.file.parent.iterdir()) == [made.file]


def test_fetch_refuses_addresses_and_redirects_that_are_not_https(entry, server, monkeypatch):
    made = entry("elsewhere")
    with pytest.raises(UserError, match=r"ftp://.* is not an http address"):
        fetch.fetch("invented")
    monkeypatch.setattr(fetch, "SCHEMES", ("https",))
    with pytest.raises(UserError, match="is not an https address"):
        fetch.fetch("invented")
    assert not server.asked and not made.file.exists()


def test_every_address_of_the_list_is_https():
    assert fetch.SCHEMES == ("https",)
    assert all(entry.url.startswith("https://") for entry in registry.FILES if entry.url)


def test_file_that_nothing_vouches_for_needs_a_yes(entry, monkeypatch, capsys):
    made = entry("file.bin", "")
    assert main(["weights", "fetch", "invented"]) == 2  # nobody can answer here
    assert "nothing vouches" in (said := capsys.readouterr().err) and "--yes" in said
    monkeypatch.setattr(fetch.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda question: "" if "nothing vouches" in question else "y")
    with pytest.raises(UserError, match="did not say yes"):
        fetch.fetch("invented")
    assert not made.file.exists()
    assert main(["weights", "fetch", "invented", "--yes"]) == 0
    assert hashlib.sha256(CONTENT).hexdigest() in capsys.readouterr().out and made.file.read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["file.bin", "archive.zip"])
def test_fetch_stops_at_the_size_that_a_file_may_have(entry, monkeypatch, path):
    made = entry(path)
    monkeypatch.setattr(fetch, "LARGEST", len(CONTENT) - 1)
    with pytest.raises(UserError, match="more than"):
        fetch.fetch("invented")
    assert not any(made.file.parent.iterdir())


def test_small_archive_of_a_large_file_is_not_unpacked(home, tmp_path, monkeypatch):
    made = replace(registry.find("face-landmarker"), path="models/file.bin", size=0)
    monkeypatch.setattr(fetch, "LARGEST", 10_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file.bin", bytes(20_000_000))
    assert (tmp_path / "bomb.zip").stat().st_size < 50_000
    with pytest.raises(UserError, match="more than"):
        fetch._unzip(tmp_path / "bomb.zip", made)
    assert not list(tmp_path.glob("*"))


def test_partial_file_is_not_written_through_a_link(entry, tmp_path):
    made, victim = entry("file.bin"), tmp_path / "victim"
    victim.write_bytes(b"mine")
    made.file.parent.mkdir(parents=True)
    made.file.with_name("file.bin.part").symlink_to(victim)
    with pytest.raises(UserError):
        fetch.fetch("invented")
    assert victim.read_bytes() == b"mine"


def test_fetch_reports_what_the_server_says(entry):
    entry("nothing")
    with pytest.raises(UserError, match="404"):
        fetch.fetch("invented")


# ---------------------------------------------------------------- reading


class _Malicious:
    """Pickles that create a file when they are loaded without care."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_malicious_pickles_run_nothing(tmp_path):
    mark = tmp_path / "owned"
    torch.save({"state_dict": {"x": _Malicious(mark)}}, tmp_path / "zip.pth")
    torch.save({"x": _Malicious(mark)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(_Malicious(mark)))
    np.save(tmp_path / "dict.npy", np.array({"tris": _Malicious(mark)}, dtype=object), allow_pickle=True)
    np.savez(tmp_path / "arrays.npz", triangles=np.array([_Malicious(mark)], dtype=object))
    for name in ("zip.pth", "old.pth", "bare.pth"):
        with pytest.raises(UserError, match=name):
            load_torch(tmp_path / name, "get it again")
    with pytest.raises(UserError, match="more than arrays"):
        load_pickled_dict(tmp_path / "dict.npy", "get it again")
    with pytest.raises(UserError, match=r"arrays\.npz"):
        load_arrays(tmp_path / "arrays.npz", "get it again")
    assert not mark.exists()
    pickle.loads(pickle.dumps(_Malicious(mark)))
    assert mark.exists()  # the trap works


def test_honest_files_are_read(tmp_path):
    net = torch.nn.Linear(3, 2)
    for number, content in enumerate(
        [net.state_dict(), {"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}, "epoch": 3}]
    ):
        path = tmp_path / f"{number}.pth"
        torch.save(content, path, _use_new_zipfile_serialization=number == 0)
        fresh = fill(torch.nn.Linear(3, 2), load_state(path, "r"), path, "r")
        torch.testing.assert_close(fresh.weight, net.weight)
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.float32(2.5), "c": [1, "x"]}
    np.save(tmp_path / "d.npy", np.array(arrays, dtype=object), allow_pickle=True)
    read = load_pickled_dict(tmp_path / "d.npy", "r")
    np.testing.assert_array_equal(read["a"], arrays["a"])
    assert read["b"] == 2.5 and read["c"] == [1, "x"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "shape", "missing", "container"])
def test_damaged_weights_name_the_file_and_the_remedy(tmp_path, damage):
    path, state = tmp_path / "net.pth", torch.nn.Linear(3, 2).state_dict()
    if damage == "shape":
        state = torch.nn.Linear(4, 2).state_dict()
    if damage == "missing":
        del state["bias"]
    torch.save([1, 2] if damage == "container" else state, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-300])
    if damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"<html>404 not found</html>")
    with pytest.raises(UserError, match=r"net\.pth.*get it again"):
        fill(torch.nn.Linear(3, 2), load_state(path, "get it again"), path, "get it again")


def test_face_parser_reads_its_file_and_keeps_labels_as_integers(home):
    from speech2lip.detection.parsing import HEAD_CLASSES, parse_head

    path = registry.find("face-parsing").file
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save({f"module.{k}": v for k, v in BiSeNet().state_dict().items()}, path)
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    mask, labels = parse_head("bisenet", image, np.zeros((468, 2)))
    assert labels.shape == mask.shape == (90, 120) and labels.dtype == np.uint8 and labels.max() < 19
    np.testing.assert_array_equal(mask > 0, np.isin(labels, HEAD_CLASSES))


def test_lpips_reads_its_two_files(home):
    from speech2lip.training.losses import perceptual_distance
    from speech2lip.weights.loaders import load_lpips

    torch.manual_seed(0)
    net = Lpips()
    state = net.state_dict()
    backbone, heads = (registry.find(name).file for name in ("alexnet", "lpips"))
    backbone.parent.mkdir(parents=True)
    torch.save({k: v for k, v in state.items() if k.startswith("features")}, backbone)
    torch.save({f"lin{k}.model.1.weight": state[f"lin.{k}.weight"].abs() for k in range(5)}, heads)
    with pytest.raises(UserError, match="damaged"):  # random weights have not the official checksum
        load_lpips()
    digest = hashlib.sha256(backbone.read_bytes()).hexdigest()
    files = tuple(replace(f, checksum=f"sha256:{digest}") if f.name == "alexnet" else f for f in registry.FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "FILES", files)
        loaded = load_lpips()
    a = torch.rand(2, 3, 40, 56)
    mask = torch.ones(1, 1, 40, 56)
    assert perceptual_distance(loaded, a, a, mask).item() == pytest.approx(0, abs=1e-6)
    near, far = ((a + s * torch.randn_like(a)).clamp(0, 1) for s in (0.02, 0.3))
    assert 0 < perceptual_distance(loaded, near, a, mask) < perceptual_distance(loaded, far, a, mask)
    assert perceptual_distance(loaded, far, a, 0 * mask).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("face.tracker=bfm", "01_MorphableModel.mat"), ("face.tracker=gnm", "gnm_head.npz"), ("face.parsing=bisenet", "79999_iter.pth"),
        ("loss.perceptual=lpips", "alexnet-owt-7be5be79.pth"), ("sync.expert=wav2lip", "lipsync_expert.pth"),
        ("audio.backend=deepspeech", "deepspeech-0_1_0-b90017e8.pb"),
    ],
)  # fmt: skip
def test_each_published_piece_names_its_missing_file(home, setting, file):
    """Where the file is needed: one sentence with path, licence and the built-in alternative."""
    config = default_config([setting])
    with pytest.raises(UserError, match=rf"{file} is missing.*licence.*or use"):
        _need(config)


def _need(config: Config) -> None:
    from speech2lip.audio.deepspeech import converted
    from speech2lip.detection.parsing import FaceParser
    from speech2lip.tracking.morphable.tracker import load_model
    from speech2lip.weights.loaders import load_lpips, load_wav2lip

    if config.face.tracker != "bundle":
        load_model(config.face.tracker, config.fit)
    if config.face.parsing == "bisenet":
        FaceParser()
    if config.loss.perceptual == "lpips":
        load_lpips()
    if config.sync.expert == "wav2lip":
        load_wav2lip()
    if config.audio.backend == "deepspeech":
        converted()
