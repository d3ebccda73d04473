"""The site's own certificate authority, and what it certifies: the broker and the pages.

Law: a private key never leaves its file, and the authority's is readable by its owner alone. The authority
signs servers of this site only; a server's certificate names every host by which devices know it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitor.install.files import OWN, PUBLIC, write

CA_LASTS = timedelta(days=3650)
SERVER_LASTS = timedelta(days=825)  # what Apple's devices accept of a private authority
OVERLAP = timedelta(hours=1)  # valid since before now, for devices whose clock is behind


def make_authority(folder: Path, site: str, now: datetime) -> None:
    """Write ``ca.pem`` and ``ca.key``; whoever has the key can pose as the broker."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Afterwatch {site} authority")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _begin(name, name, key.public_key(), key.public_key(), now, CA_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    write(folder / "ca.pem", made.public_bytes(serialization.Encoding.PEM), PUBLIC)
    write(folder / "ca.key", _private(key), OWN)


def make_server(folder: Path, authority: Path, name: str, hosts: Sequence[str], now: datetime) -> None:
    """Write ``NAME.pem`` (with the authority behind it) and ``NAME.key`` for a server known as ``hosts``."""
    ca_key = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    ca = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)  # noqa: S101  we wrote it
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        _begin(_name(hosts[0]), ca.subject, key.public_key(), ca_key.public_key(), now, SERVER_LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_known_as(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write(folder / f"{name}.key", _private(key))
    write(folder / f"{name}.pem", made.public_bytes(pem) + ca.public_bytes(pem), PUBLIC)


def ends_at(file: Path) -> datetime:
    """Return when a certificate ends."""
    return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc


def hosts_of(file: Path) -> list[str]:
    """Return the names and addresses that a server's certificate is for."""
    made = x509.load_pem_x509_certificate(file.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one.value) for one in names]


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    now: datetime,
    lasts: timedelta,
) -> x509.CertificateBuilder:
    at = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - OVERLAP)
        .not_valid_after(at + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _known_as(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
