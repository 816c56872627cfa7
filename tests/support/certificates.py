"""Certificates for tests of TLS: an authority, a server, clients, and files in which something is wrong."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

SECRET = "$2y$04$SKjR.sJ8TaQj.o/Lvhi8Uu88HgBG55byEf2zRW9rdxpjLxISI1TIm"  # of the password "secret"


@dataclass
class Certificates:
    """A folder with files, and the authority that signed them."""

    folder: Path
    authority: trustme.CA

    def issue(self, name, *identities, authority=None):
        """Write a certificate and its key to `name.pem` and `name-key.pem`."""
        issued = (authority or self.authority).issue_cert(*identities)
        (self.folder / f"{name}.pem").write_bytes(issued.cert_chain_pems[0].bytes())
        (self.folder / f"{name}-key.pem").write_bytes(issued.private_key_pem.bytes())

    def client(self, name=None):
        """Return how a client connects that trusts the authority, with a certificate of its own or without."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}-key.pem")
        return context


def write_certificates(folder):
    """Fill a folder with what the cases of the web configuration name."""
    certificates = Certificates(folder, trustme.CA())
    certificates.authority.cert_pem.write_to_path(folder / "ca.pem")
    certificates.issue("cert", "localhost", "127.0.0.1", "::1")
    (folder / "cert-key.pem").rename(folder / "key.pem")
    certificates.issue("other", "other.example")
    (folder / "nothing.pem").touch()
    (folder / "garbage.pem").write_text(
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"
    )
    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    encrypted = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    (folder / "encrypted-key.pem").write_bytes(encrypted)
    return certificates
