"""Who signs: a key that is made on this computer, once, or the user's own, each with a chain of certificates."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path

from ..config import RenderConfig
from ..errors import UserError
from ..files import check_input, place_secret

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

_YEARS = 30  # nobody stamps the time of a signature, so that files can be checked as long as the certificate lasts
_MOST = 2**20  # bytes of a file with a key or certificates
_WAY_OUT = "give your own key with render.signing_key and render.certificate, or render with render.credentials=false"


@dataclass(frozen=True)
class Identity:
    """chain: certificates in PEM, the signer's first; key: its private key in PEM; algorithm: C2PA's name of the signature."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str

    @cached_property
    def known(self) -> Known:
        return Known.of(self.chain)


@dataclass(frozen=True)
class Known:
    """A signer without its key. chain: as of `Identity`; fingerprint: SHA-256 of the certificate, hexadecimal; serial: its number."""

    chain: bytes
    fingerprint: str
    serial: int

    @property
    def root(self) -> bytes:
        """The last certificate of the chain, in PEM."""
        return b"-----BEGIN " + self.chain.rpartition(b"-----BEGIN ")[2]

    @classmethod
    def of(cls, chain: bytes) -> Known:
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256

        first = x509.load_pem_x509_certificates(chain)[0]
        return cls(chain, first.fingerprint(SHA256()).hex(), first.serial_number)


def identity_of(render: RenderConfig) -> Identity:
    """Whose key signs what is rendered with these settings. UserError for files that cannot be used."""
    if render.signing_key:
        return _given(Path(render.signing_key), Path(render.certificate))
    path = own_file()
    if not path.is_file():
        try:
            place_secret(path, _made())
        except UserError as error:
            raise UserError(f"the key that signs rendered files cannot be made: {error}; or {_WAY_OUT}") from error
    return _read(path, path)


def own_file() -> Path:
    """Where the key of this computer's user lies, with its certificates."""
    return user_data_path("speech2lip", appauthor=False) / "credentials" / "signing.pem"


def own_signer() -> Known | None:
    """The signer of this computer's user; None where no key was made yet."""
    path = own_file()
    return _read(path, path).known if path.is_file() else None


def named_signer(path: Path) -> Known:
    """The signer of a file with certificates, as somebody gives it away."""
    from cryptography import x509

    check_input(path, "a PEM file with certificates")
    try:
        return Known.of(_pem(x509.load_pem_x509_certificates(_content(path))))
    except ValueError as error:
        raise UserError(
            f"{path} holds no certificate in PEM: give the certificate of whoever signed the file"
        ) from error


def _given(key: Path, certificate: Path) -> Identity:
    check_input(key, "a private key in PEM")
    check_input(certificate, "certificates in PEM")
    return _read(key, certificate)


def _read(key: Path, certificate: Path) -> Identity:
    """A key and its certificates, checked to belong together."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as form

    try:
        private = form.load_pem_private_key(_content(key), None)
    except TypeError as error:  # cryptography's for a passphrase that was not given
        raise UserError(f"{key} is locked by a passphrase: give a key without one, or {_WAY_OUT}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{key} holds no private key in PEM: {_WAY_OUT}") from error
    try:
        chain = x509.load_pem_x509_certificates(_content(certificate))
    except ValueError as error:
        raise UserError(f"{certificate} holds no certificate in PEM: {_WAY_OUT}") from error
    same = form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo
    if chain[0].public_key().public_bytes(*same) != private.public_key().public_bytes(*same):
        raise UserError(
            f"{key} is not the key of the first certificate in {certificate}: give the two that belong together"
        )
    text = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return Identity(_pem(chain), text, _algorithm(private, key))


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(_MOST)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {_WAY_OUT}") from error


def _algorithm(private: Any, path: Path) -> str:
    """C2PA's name of the signature that a key makes."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in curves:
        return curves[private.curve.name]
    raise UserError(f"{path} is of a kind that C2PA does not know: give a key of P-256, P-384, P-521, RSA or Ed25519")


def _pem(chain: list[Certificate]) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def _made() -> bytes:
    """A new key for ES256 and its two certificates, in PEM.

    C2PA wants a certificate that another one issued. The issuer's key is forgotten here: nobody can issue a second one.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key, issuer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [_named(f"made on the user's own computer, {part}") for part in ("signer", "issuer")]
    chain = [_certificate(names[0], key, names[1], issuer), _certificate(names[1], issuer, names[1], issuer)]
    text = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return text + _pem(chain)


def _named(text: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = {NameOID.ORGANIZATION_NAME: "Speech2Lip user, vouched for by nobody", NameOID.COMMON_NAME: text}
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts.items()])


def _certificate(name: Name, key: Any, issuer: Name, issuer_key: Any) -> Certificate:
    """The certificate of a key, with the entries that C2PA asks for (C2PA 2.2, 14.5.1); of an issuer where both are one."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID

    now, issues = datetime.now(timezone.utc), key is issuer_key
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )  # fmt: skip
    out = (
        x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(issues, 0 if issues else None), True)
        .add_extension(x509.KeyUsage(digital_signature=not issues, key_cert_sign=issues, crl_sign=issues, **usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    )  # fmt: skip
    if not issues:
        out = out.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return out.sign(issuer_key, SHA256())
