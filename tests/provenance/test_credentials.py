"""Rendered files say what made them; whatever is done to them is found, and their pictures and sound are not touched."""

import http.server
import io
import json
import os
import signal
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import c2pa
import cv2
import forging
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from speech2lip.cli import main
from speech2lip.config import Config, RenderConfig, load_settings
from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import CONTAINERS, VideoWriter
from speech2lip.media.images import encoded_image
from speech2lip.media.sound import load_audio, save_wav
from speech2lip.provenance import identity, signing
from speech2lip.provenance.identity import identity_of, own_file
from speech2lip.provenance.signing import Signing, check_signing, sidecar_of, signed_output
from speech2lip.provenance.statement import Statement
from speech2lip.provenance.verify import ALTERED, INTACT, MISSING, UNKNOWN, lines_of, verify
from speech2lip.subject.records import Consent

CONSENT = Consent(False, "2026-01-02", "unasked")
STATEMENT = Statement("a" * 64, "b" * 64, "c" * 64, "d" * 64, 3, {"crf": 15, "label": ""}, CONSENT)


def _write(path: Path, folder: Path) -> None:
    """A second of noise and a tone."""
    rng = np.random.default_rng(0)
    save_wav(folder / "tone.wav", 0.3 * np.sin(np.arange(16_000) / 9))
    with VideoWriter(path, 25.0, folder / "tone.wav", crf=20) as video:
        for _ in range(25):
            video.write(rng.integers(0, 255, (64, 96, 3)).astype(np.uint8))


def _signing(statement: Statement = STATEMENT, render: RenderConfig = RenderConfig()) -> Signing:
    return Signing(identity_of(render), statement)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, bytes]:
    """Bytes of a video without credentials, by suffix."""
    folder = tmp_path_factory.mktemp("plain")
    for suffix in CONTAINERS:
        _write(folder / f"a{suffix}", folder)
    return {suffix: (folder / f"a{suffix}").read_bytes() for suffix in CONTAINERS}


def _signed(plain: dict[str, bytes], out: Path, given: Signing | None = None) -> Path:
    with signed_output(out, given or _signing()) as path:
        path.write_bytes(plain[out.suffix])
    return out


@pytest.fixture
def video(plain, tmp_path) -> Path:
    return _signed(plain, tmp_path / "a.mp4")


# ---------------------------------------------------------------- what is said


def test_credentials_say_what_the_file_was_made_of(video, capsys):
    verdict = verify(video)
    assert verdict.state == INTACT and verdict.good and verdict.signer == "own" and verdict.generated
    assert (
        verdict.generator.startswith("Speech2Lip ")
        and verdict.fingerprint == identity_of(RenderConfig()).known.fingerprint
    )
    said = verdict.statement
    assert (said.model, said.subject, said.audio, said.source, said.start) == (
        "a" * 64,
        "b" * 64,
        "c" * 64,
        "d" * 64,
        3,
    )
    assert said.consent == CONSENT and said.settings == {"crf": 15, "label": ""}
    assert main(["verify", str(video)]) == 0
    text = capsys.readouterr().out
    assert "nobody could be asked" in text and "c" * 64 in text and "this computer's user" in text and "intact" in text
    assert main(["verify", "--json", str(video)]) == 0
    assert json.loads(capsys.readouterr().out)["statement"]["consent"] == {
        "given": False,
        "date": "2026-01-02",
        "how": "unasked",
    }


def test_other_programs_read_them(video):
    """The library's own account, with none of our settings."""
    with open(video, "rb") as stream, c2pa.Reader("video/mp4", stream) as reader:
        assert reader.get_validation_state() == "Valid"
        manifest = reader.get_active_manifest()
    actions = next(a["data"]["actions"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    assert [a["action"] for a in actions] == ["c2pa.created"]
    assert actions[0]["digitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert "time" not in manifest["signature_info"] and not manifest.get("title")


def test_no_name_and_no_place_stands_in_them(video):
    said = forging.credentials(video.read_bytes())
    assert str(video.parent).encode() not in said and b"a.mp4" not in said
    assert os.fsencode(Path.home().name) not in said or Path.home().name in ("root", "")


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov"])
def test_no_bit_of_picture_sound_or_index_changes(plain, tmp_path, suffix):
    out = _signed(plain, tmp_path / f"b{suffix}")
    (tmp_path / f"a{suffix}").write_bytes(plain[suffix])
    frames = [list(read_frames(tmp_path / f"{name}{suffix}", 25.0)) for name in "ab"]
    assert len(frames[0]) == 25 and np.array_equal(*map(np.array, frames))
    np.testing.assert_array_equal(*(load_audio(tmp_path / f"{name}{suffix}") for name in "ab"))
    data = forging.unsigned(out.read_bytes())
    for kind in (b"ftyp", b"mdat"):
        assert data[forging.box(data, kind)] == plain[suffix][forging.box(plain[suffix], kind)]


def test_what_is_signed_twice_differs_in_its_credentials_alone(plain, tmp_path):
    one, two = (_signed(plain, tmp_path / f"{name}.mp4").read_bytes() for name in "ab")
    assert one != two and forging.unsigned(one) == forging.unsigned(two)


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_other_containers_have_them_beside(plain, tmp_path, suffix):
    out = _signed(plain, tmp_path / f"a{suffix}")
    assert out.read_bytes() == plain[suffix] and sidecar_of(out) == tmp_path / f"a{suffix}.c2pa"
    verdict = verify(out)
    assert verdict.state == INTACT and verdict.beside == sidecar_of(out) and verdict.statement.consent == CONSENT
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / f"x{suffix}").symlink_to(out)
    assert verify(tmp_path / "link" / f"x{suffix}").state == INTACT


def test_pictures_carry_them(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    data = encoded_image(".jpg", image, 97)
    (tmp_path / "a.jpg").write_bytes(_signing().image(data))
    assert verify(tmp_path / "a.jpg").state == INTACT
    both = [
        cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_COLOR) for d in (data, (tmp_path / "a.jpg").read_bytes())
    ]
    np.testing.assert_array_equal(*both)
    forging.flip(tmp_path / "a.jpg", (tmp_path / "a.jpg").stat().st_size - 20)
    assert verify(tmp_path / "a.jpg").state == ALTERED


# ---------------------------------------------------------------- what is found


@pytest.mark.parametrize("change", forging.ALTERED, ids=lambda f: f.__name__)
def test_an_altered_file_is_found(video, change, capsys):
    change(video)
    verdict = verify(video)
    assert verdict.state == ALTERED and verdict.problems and not verdict.good
    assert main(["verify", str(video)]) == 1 and "ALTERED" in capsys.readouterr().out


@pytest.mark.parametrize("change", forging.MISSING, ids=lambda f: f.__name__)
def test_a_file_without_credentials_is_found(video, change, capsys):
    change(video)
    assert verify(video).state == MISSING
    assert main(["verify", str(video)]) == 1 and "no content credentials" in capsys.readouterr().out


def test_bytes_everywhere_count(video):
    """But in the filling of the credentials, which nobody reads."""
    data = video.read_bytes()
    place = forging.box(data, b"uuid")
    for at in (*range(0, place.start, 7), *range(place.stop, len(data), (len(data) - place.stop) // 25)):
        changed = bytearray(data)
        changed[at] ^= 4
        video.write_bytes(changed)
        assert not verify(video).good, at


def test_a_large_file_is_found_intact_every_time(plain, tmp_path):
    """Hashes of chunks, which the library compares in several threads, gave other answers from time to time."""
    data = plain[".mp4"] + (1).to_bytes(4, "big") + b"mdat" + (8_000_016).to_bytes(8, "big") + bytes(8_000_000)
    out = _signed({".mp4": data}, tmp_path / "a.mp4")
    assert [verify(out).state for _ in range(12)] == [INTACT] * 12
    forging.flip(out, out.stat().st_size - 4_000_000)
    assert [verify(out).state for _ in range(4)] == [ALTERED] * 4


def test_credentials_of_another_video_do_not_fit(plain, video, tmp_path):
    other = _signed({".mp4": _longer(plain[".mp4"])}, tmp_path / "b.mp4").read_bytes()
    forging.credentials_out(video)
    forging.with_credentials_of(video, other)
    assert verify(video).state == ALTERED


def _longer(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[forging.box(data, b"mdat").start + 500] ^= 1
    return bytes(changed)


def test_who_signs_anew_is_not_taken_for_us(plain, video, tmp_path, monkeypatch, capsys):
    """Another key with a certificate of the same name and number, as anybody can make one."""
    ours = identity_of(RenderConfig())
    first = x509.load_pem_x509_certificates(ours.chain)[0]
    monkeypatch.setattr(x509, "random_serial_number", lambda: first.serial_number)
    theirs = _written(tmp_path / "theirs.pem", identity._made())
    forged = _signed(plain, tmp_path / "b.mp4", _signing(render=theirs))
    verdict = verify(forged)
    assert verdict.state == UNKNOWN and not verdict.good and verdict.signer == "unknown" and not verdict.fingerprint
    assert main(["verify", str(forged)]) == 1 and "not known here" in capsys.readouterr().out
    (tmp_path / "public.pem").write_bytes(identity_of(theirs).chain)
    named = verify(forged, tmp_path / "public.pem")
    assert (
        named.state == INTACT and named.signer == "named" and named.fingerprint == identity_of(theirs).known.fingerprint
    )
    assert verify(video, tmp_path / "public.pem").signer == "own"


def _written(path: Path, data: bytes) -> RenderConfig:
    path.write_bytes(data)
    return RenderConfig(signing_key=str(path), certificate=str(path))


def test_files_beside_are_compared_too(plain, tmp_path):
    out = _signed(plain, tmp_path / "a.mkv")
    data, said = out.read_bytes(), sidecar_of(out).read_bytes()
    for changed in (data[:-1], data + b"\0", b"\x1b" + data[1:], data[:3000] + b"x" + data[3001:]):
        out.write_bytes(changed)
        assert verify(out).state == ALTERED
    out.write_bytes(data)
    for changed in (said[:-200], said.replace(b"unasked", b"options"), b"nothing of use"):
        sidecar_of(out).write_bytes(changed)
        assert verify(out).state == ALTERED
    sidecar_of(out).unlink()
    assert verify(out).state == MISSING


def test_files_of_others_are_told_as_such(plain, tmp_path):
    """A file that another program signed says nothing of ours."""
    who = identity_of(RenderConfig())
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(who.algorithm.encode(), who.chain, who.key, None))
    actions = [
        {"action": "c2pa.created", "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"}
    ]
    said = {
        "claim_generator_info": [{"name": "A camera"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    out = io.BytesIO()
    with c2pa.Builder(json.dumps(said)) as builder:
        builder.sign(signer, "video/mp4", io.BytesIO(plain[".mp4"]), out)
    (tmp_path / "a.mp4").write_bytes(out.getvalue())
    verdict = verify(tmp_path / "a.mp4")
    assert verdict.statement is None and not verdict.generated and verdict.generator == "A camera"
    assert "trained model" not in "\n".join(lines_of(verdict))


def test_nothing_is_asked_of_a_network(plain, tmp_path):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        who, out = identity_of(RenderConfig()), io.BytesIO()
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(who.algorithm.encode(), who.chain, who.key, None))
        with c2pa.Builder(json.dumps(STATEMENT.manifest())) as builder:
            builder.set_no_embed()
            builder.set_remote_url(f"http://127.0.0.1:{server.server_port}/a.c2pa")
            builder.sign(signer, "video/mp4", io.BytesIO(plain[".mp4"]), out)
        (tmp_path / "a.mp4").write_bytes(out.getvalue())
        assert b"http://127" in out.getvalue() and verify(tmp_path / "a.mp4").state == MISSING
        server.shutdown()
    assert not asked


@pytest.mark.parametrize("content", [b"plain text, no video", b"\0" * 5000, b"\xff\xd8\xff\xe0", b"\0\0\0\x20ftypisom"])
def test_what_is_no_video_has_no_credentials(tmp_path, content):
    for name in ("a.mp4", "a.jpg", "a.txt", "a"):
        (tmp_path / name).write_bytes(content)
        assert verify(tmp_path / name).state == MISSING
    (tmp_path / "empty.mp4").touch()
    for name in ("empty.mp4", "none.mp4"):
        assert main(["verify", str(tmp_path / name)]) == 2


# ---------------------------------------------------------------- keys


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    """Also by several programs at once."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            try:
                (tmp_path / str(number)).write_text(identity_of(RenderConfig()).known.fingerprint)
            finally:
                os._exit(0)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    assert len({(tmp_path / str(number)).read_text() for number in range(4)}) == 1
    assert own_file().stat().st_mode & 0o777 == 0o600 and own_file().parent.stat().st_mode & 0o777 == 0o700
    assert list(own_file().parent.iterdir()) == [own_file()]
    assert "PRIVATE" not in repr(identity_of(RenderConfig()))


def test_a_place_that_takes_no_key_is_said_before_anything(tmp_path, monkeypatch):
    (tmp_path / "data").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with pytest.raises(UserError, match=r"cannot be made.*render\.credentials=false"):
        check_signing(RenderConfig())
    assert check_signing(RenderConfig(credentials=False)) is None


def test_without_the_package_it_is_said_and_nothing_is_left_out_in_silence(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(UserError, match=r"c2pa-python.*render\.credentials=false"):
        check_signing(RenderConfig())
    assert check_signing(RenderConfig(credentials=False)) is None


def _chain(key, *, usage=ExtendedKeyUsageOID.EMAIL_PROTECTION, days: int = 30) -> bytes:
    """Certificates of a key, as a company gives them to its people."""
    root, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    names = [x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, n)]) for n in ("Studio", "Studio's issuer")]
    out = []
    for holder, name, issues in ((key, names[0], False), (root, names[1], True)):
        sign = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False)  # fmt: skip
        begin, end = now - timedelta(days=60), now + timedelta(days=days)
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(names[1]).public_key(holder.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(begin).not_valid_after(end).add_extension(x509.BasicConstraints(issues, None), True)
            .add_extension(x509.KeyUsage(digital_signature=not issues, key_cert_sign=issues, crl_sign=issues, **sign), True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(holder.public_key()), False)
        )  # fmt: skip
        made = made if issues else made.add_extension(x509.ExtendedKeyUsage([usage]), False)
        out.append(made.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return b"".join(out)


def _text(key, lock: bytes | None = None) -> bytes:
    form = serialization.BestAvailableEncryption(lock) if lock else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)


def _own(tmp_path: Path, key: bytes, chain: bytes) -> RenderConfig:
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "chain.pem").write_bytes(chain)
    return RenderConfig(signing_key=str(tmp_path / "key.pem"), certificate=str(tmp_path / "chain.pem"))


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()])
def test_your_own_key_signs(plain, tmp_path, key):
    render = _own(tmp_path, _text(key), _chain(key))
    out = _signed(plain, tmp_path / "a.mp4", Signing(check_signing(render), STATEMENT))
    assert verify(out).state == UNKNOWN and "Studio" in verify(out).calls_itself
    verdict = verify(out, tmp_path / "chain.pem")
    assert verdict.state == INTACT and verdict.signer == "named"
    assert main(["verify", str(out), "--certificate", str(tmp_path / "chain.pem")]) == 0


def test_keys_that_cannot_sign_are_refused_first(tmp_path):
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    good, text = _chain(key), _text(key)
    for given, said in (
        ((_text(key, b"secret"), good), "passphrase"), ((b"no key", good), "no private key"), ((text, b"none"), "no certificate"),
        ((text, _chain(other)), "not the key of"), ((text, _chain(key, days=-1)), "cannot sign.*valid today"),
        ((text, _chain(key, usage=ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)), "cannot sign"),
        ((_text(ec.generate_private_key(ec.SECP256K1())), good), "not the key of|does not know"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            check_signing(_own(tmp_path, *given))
    with pytest.raises(UserError, match="does not exist"):
        check_signing(RenderConfig(signing_key=str(tmp_path / "none"), certificate=str(tmp_path / "chain.pem")))
    with pytest.raises(UserError, match=r"render\.signing_key is given without render\.certificate"):
        load_settings(None, {"render.signing_key": "key.pem"})
    with pytest.raises(UserError, match="no certificate"):
        (tmp_path / "x.pem").write_bytes(b"text")
        verify(tmp_path / "key.pem", tmp_path / "x.pem")


# ---------------------------------------------------------------- whole or not at all


def test_what_fails_leaves_the_old_video(plain, video, monkeypatch):
    before = video.read_bytes()
    for error in (KeyboardInterrupt, OSError(28, "No space left on device")):

        def fails(self, source, target, error=error):
            target.write_bytes(b"half")
            raise error

        monkeypatch.setattr(Signing, "video", fails)
        with pytest.raises((KeyboardInterrupt, UserError)):
            _signed(plain, video)
        assert video.read_bytes() == before and list(video.parent.iterdir()) == [video]


def test_a_full_disk_is_one_sentence(plain, tmp_path, monkeypatch):
    """While it signs: the library says what the system said, or not even that."""

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        signing, "Watched", lambda stream, stop: signing_watched(Full() if "+" in stream.mode else stream, stop)
    )
    signing_watched = _watched
    with pytest.raises(UserError, match=r"cannot write .*a\.mp4 \(No space left"):
        _signed(plain, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


_watched = signing.Watched


def test_a_signal_waits_for_no_large_file(plain, tmp_path, monkeypatch):
    """Exceptions do not come through the library: it ends at its next look, and the signal does what it does."""
    calls = []

    class Slow(_watched):
        def write(self, data):
            calls.append(len(data))
            if len(calls) == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return super().write(data)

    monkeypatch.setattr(signing, "Watched", Slow)
    with pytest.raises(KeyboardInterrupt):
        _signed(plain, tmp_path / "a.mp4")
    assert len(calls) < 3 and list(tmp_path.iterdir()) == []


def test_a_kill_while_signing_leaves_the_old_video(plain, video):
    before, child = video.read_bytes(), os.fork()
    if not child:
        Signing.video = lambda self, source, target: (target.write_bytes(b"half"), os.kill(os.getpid(), signal.SIGKILL))
        _signed(plain, video)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]) and video.read_bytes() == before
    assert verify(video).good


def test_credentials_beside_are_replaced_with_their_video_and_nothing_else_is(plain, tmp_path):
    out = _signed(plain, tmp_path / "a.mkv")
    with signed_output(out, None) as path:
        path.write_bytes(b"without")
    assert not sidecar_of(out).exists() and out.read_bytes() == b"without"
    sidecar_of(out).write_bytes(b"my own notes")
    for given in (None, _signing()):
        with pytest.raises(UserError, match="in the way"), signed_output(out, given):
            raise AssertionError
    assert sidecar_of(out).read_bytes() == b"my own notes"


def test_large_files_are_copied_beside_themselves(plain, tmp_path, monkeypatch):
    """The usual place for temporary files may be small."""
    monkeypatch.setattr("speech2lip.provenance.streams.SPOOLED", 100)
    monkeypatch.setenv("TMPDIR", "/usual")
    seen = []
    real = Signing._sign
    monkeypatch.setattr(Signing, "_sign", lambda *a, **k: (seen.append(os.environ["TMPDIR"]), real(*a, **k))[1])
    _signed(plain, tmp_path / "a.mp4")
    assert seen == [str(tmp_path.resolve())] and os.environ["TMPDIR"] == "/usual"


def test_settings_of_signing_have_defaults_that_sign():
    assert Config().render.credentials and not Config().render.signing_key and not Config().render.label
