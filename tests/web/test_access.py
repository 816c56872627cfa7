"""The web configuration while it runs: what changes is taken up, and what is broken never opens the server."""

import os
import ssl

import pytest
from certificates import SECRET, write_certificates
from servers import surroundings

from exporter.web.access import Access

USERS = f"basic_auth_users:\n  alice: {SECRET}\n"
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
CLIENTS = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"


@pytest.fixture
def logged():
    """Log as the exporter does; return what was logged so far, at least as severe as a warning."""
    with surroundings() as lines:
        yield lambda: [line for line in lines().splitlines() if " level=info " not in line]


@pytest.fixture
def certificates(tmp_path):
    """Return a folder with certificates."""
    return write_certificates(tmp_path)


@pytest.fixture
def started(certificates, logged):
    """Return a function that starts with a configuration and hands out its path and what is read of it."""

    def start(text):
        path = certificates.folder / "web.yml"
        path.write_text(text)
        return path, Access(path)

    return start


def test_without_a_file_everybody_may_read():
    """No file: no TLS, no users, no headers."""
    access = Access()
    assert access.tls is None
    assert not access.config.users
    assert not access.config.authenticates


def test_new_users_and_headers_are_taken_up(started, logged):
    """What a changed file says holds for the next look; the log names no user."""
    path, access = started(USERS)
    path.write_text(
        USERS.replace("alice", "bob") + "http_server_config: {headers: {X-XSS-Protection: 1}}"
    )
    assert list(access.config.users) == ["bob"]
    assert access.config.headers == {"X-XSS-Protection": "1"}
    path.write_text(USERS + USERS.splitlines()[1].replace("alice", "carol"))
    assert list(access.config.users) == ["alice", "carol"]
    assert logged() == []


def test_first_users_are_taken_up(started):
    """Where nobody was asked for a password, somebody is from the change on."""
    path, access = started("")
    path.write_text(USERS)
    assert list(access.config.users) == ["alice"]


def test_an_unchanged_file_is_not_read_again(started):
    """Between two changes the same values are handed out."""
    _, access = started(CLIENTS + USERS)
    assert access.config is access.config
    assert access.tls is access.tls


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (USERS, "", "basic_auth_users: the last user is removed by a restart only"),
        (USERS, "basic_auth_users:\n", "the last user is removed by a restart only"),
        (USERS, None, "cannot be read: No such file or directory"),
        (USERS, USERS.replace("$2y", "$3y"), "expected a bcrypt hash"),
        (USERS, USERS[:-30], "expected a bcrypt hash"),
        (USERS, "basic_auth_users: {alice", "not YAML"),
        (USERS, TLS + USERS, "TLS is switched on by a restart only"),
        (TLS, "", "TLS is switched off by a restart only"),
        (TLS, "tls_server_config:\n", "TLS is switched off by a restart only"),
        (
            TLS,
            TLS.splitlines()[0] + "\n  cert_file: cert.pem\n",
            "key_file: required key is missing",
        ),
        (CLIENTS, TLS, "clients are let in without a certificate by a restart only"),
        (
            CLIENTS,
            CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"),
            "clients are let in without a certificate by a restart only",
        ),
        (
            CLIENTS + "  client_allowed_sans: [a]\n",
            CLIENTS,
            "client_allowed_sans: the list is removed by a restart only",
        ),
    ],
)
def test_a_broken_or_emptied_file_never_opens_the_server(started, logged, before, after, said):
    """The last good state stays, and the log says why, once for each change."""
    path, access = started(before)
    config, tls = access.config, access.tls
    if after is None:
        path.unlink()
    else:
        path.write_text(after)
    for _ in range(3):
        assert access.config is config
        assert access.tls is tls
    (line,) = logged()
    assert "web configuration not taken up, the last good one stays" in line
    assert said in line
    assert "$2y" not in line.replace("$2y$10$", "")
    path.write_text(before + "\n# mended")
    assert access.config == config
    assert len(logged()) == 1


def test_a_new_certificate_is_taken_up(started, certificates, logged):
    """A renewed certificate and key are read together; one alone does not fit, and the last good pair stays."""
    _, access = started(TLS)
    before = access.tls
    (certificates.folder / "other.pem").replace(certificates.folder / "cert.pem")
    assert access.tls is before
    assert "the certificate and the key cannot be used: KEY_VALUES_MISMATCH" in logged()[0]
    assert access.tls is before
    (certificates.folder / "other-key.pem").replace(certificates.folder / "key.pem")
    after = access.tls
    assert after is not before
    assert access.tls is after
    assert len(logged()) == 1


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
def test_emptied_files_of_certificates_are_not_taken_up(started, certificates, logged, name):
    """An empty certificate, key or list of authorities leaves what was."""
    _, access = started(CLIENTS)
    before = access.tls
    os.truncate(certificates.folder / name, 0)
    assert access.tls is before
    assert access.tls is before
    assert len(logged()) == 1


def test_a_broken_certificate_does_not_keep_users(started, certificates, logged):
    """A user who is removed is gone, even while the certificate cannot be read."""
    path, access = started(TLS + USERS)
    before = access.tls
    (certificates.folder / "cert.pem").unlink()
    path.write_text(TLS + USERS.replace("alice", "bob"))
    assert access.tls is before
    assert list(access.config.users) == ["bob"]
    assert len(logged()) == 1


def test_files_with_other_names_are_taken_up(started, certificates):
    """A configuration may name another certificate, and from then on that one is watched."""
    path, access = started(TLS)
    before = access.tls
    path.write_text(TLS.replace("cert.pem", "other.pem").replace("key.pem", "other-key.pem"))
    after = access.tls
    assert after is not before
    certificates.issue("other", "another.example")
    assert access.tls is not after


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("TLS10", ssl.TLSVersion.TLSv1),
        ("TLS11", ssl.TLSVersion.TLSv1_1),
        ("TLS12", ssl.TLSVersion.TLSv1_2),
        ("TLS13", ssl.TLSVersion.TLSv1_3),
    ],
)
def test_the_oldest_version_is_as_configured(started, version, wanted):
    """The oldest version of TLS that a handshake may have is the one in the file."""
    _, access = started(f"{TLS}  min_version: {version}\n")
    assert access.tls.context.minimum_version == wanted


def test_the_oldest_version_is_1_2_unless_told_otherwise(started):
    """Without min_version, TLS 1.2 is the oldest."""
    _, access = started(TLS)
    assert access.tls.context.minimum_version == ssl.TLSVersion.TLSv1_2
