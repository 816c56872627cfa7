"""The web configuration file: what is accepted, what is refused, and that promtool says the same."""

import shutil
import subprocess
from pathlib import Path

import pytest
from certificates import SECRET, write_certificates
from programs import tool

from exporter.config.web import load_web_config
from exporter.errors import ConfigError
from exporter.web.access import Access

CASES = sorted((Path(__file__).parent / "cases").glob("*.yml"))
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with all cases and the files that they name."""
    folder = tmp_path_factory.mktemp("web") / "cases"
    folder.mkdir()
    write_certificates(folder)
    for case in CASES:
        shutil.copy(case, folder)
    return folder


def problems(path):
    """Return what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        Access(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def written(folder, text):
    """Write a web configuration file."""
    path = folder / "web.yml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [case.name for case in CASES if ".ok." in case.name])
def test_what_is_good_is_accepted(folder, name):
    """A file that is good for exporter-toolkit is good here."""
    Access(folder / name)


@pytest.mark.parametrize("name", [case.name for case in CASES if ".bad." in case.name])
def test_what_is_bad_is_refused(folder, name):
    """A file that exporter-toolkit refuses is refused, with the place of each fault and no secret."""
    for problem in problems(folder / name):
        assert problem.startswith(name)
        assert "secret" not in problem
        assert "$2" not in problem.replace("$2y$10$", "")


@pytest.mark.parametrize("name", [case.name for case in CASES if ".unsupported." in case.name])
def test_what_is_not_supported_is_refused_by_name(folder, name):
    """A key of the format that is not supported is named, and it is said that it is not supported."""
    (problem,) = problems(folder / name)
    assert "not supported by this exporter" in problem
    key = name.removesuffix(".unsupported.yml").removesuffix("-inline").replace("-", "_")
    assert key.replace("_", "") in problem.replace("_", "").lower()


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_promtool_says_the_same(folder, name):
    """The verdict in a case's name is promtool's; what is not supported here is good for promtool."""
    checked = subprocess.run(
        [tool("promtool"), "check", "web-config", folder / name], check=False, capture_output=True
    )
    assert (checked.returncode == 0) == (".bad." not in name), checked.stdout + checked.stderr


def test_there_are_enough_cases():
    """The table is not empty by mistake."""
    assert len(CASES) >= 80


def test_every_fault_is_told_at_once(folder):
    """All faults of a file come in one list, each with line and column."""
    assert problems(folder / "several-faults.bad.yml") == [
        "several-faults.bad.yml:3:16: tls_server_config.min_version: expected one of TLS10, TLS11, TLS12, TLS13",
        "several-faults.bad.yml:2:3: tls_server_config.key_file: required key is missing",
        (
            "several-faults.bad.yml:8:3: basic_auth_users.alice: expected a bcrypt hash,"
            " such as $2y$10$ and 53 characters more"
        ),
        (
            "several-faults.bad.yml:6:5: http_server_config.headers.Server: expected one of Content-Security-Policy,"
            " Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection"
        ),
    ]


def test_files_that_cannot_be_used_are_named(folder):
    """Both of two missing files are named, with the reason."""
    text = TLS.replace("cert.pem", "none.pem").replace("key.pem", "gone.pem")
    assert problems(written(folder, text)) == [
        "web.yml: tls_server_config.cert_file: none.pem cannot be read: No such file or directory",
        "web.yml: tls_server_config.key_file: gone.pem cannot be read: No such file or directory",
    ]


def test_a_key_with_a_password_is_told_as_such(folder):
    """Nobody is asked for the password of a key; that it has one is said."""
    (problem,) = problems(folder / "key-is-encrypted.bad.yml")
    assert "encrypted-key.pem: expected a private key without a password, in PEM form" in problem


def test_a_missing_file(tmp_path):
    """A web configuration file that is not there is one line."""
    assert problems(tmp_path / "web.yml") == ["web.yml: cannot be read: No such file or directory"]


def test_relative_paths_start_at_the_files_folder(folder, tmp_path):
    """What a file names is beside it, wherever the exporter was started."""
    tls = load_web_config(written(tmp_path, TLS)).tls
    assert tls.cert_file == tmp_path / "cert.pem"
    tls = load_web_config(written(tmp_path, TLS.replace("cert.pem", "/etc/cert.pem"))).tls
    assert tls.cert_file == Path("/etc/cert.pem")


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("tls_server_config: {min_version: TLS13}", "TLS is off without cert_file"),
        (TLS + "  client_allowed_sans: [a]\n", "has no effect without a client_auth_type"),
        (TLS + "  client_auth_type: RequestClientCert\n", "RequestClientCert lets in everybody"),
        (TLS, None),
    ],
)
def test_what_is_good_but_odd_is_told(tmp_path, text, odd):
    """What promtool accepts, but surely was not meant, is told beside it."""
    oddities = load_web_config(written(tmp_path, text)).oddities
    assert [str(oddity) for oddity in oddities if odd in str(oddity)] if odd else not oddities


def test_hashes_are_in_no_repr(tmp_path):
    """A web configuration that gets into a log by mistake shows no hash."""
    config = load_web_config(written(tmp_path, f"basic_auth_users: {{alice: '{SECRET}'}}"))
    assert "alice" in repr(config)
    assert "88HgBG55" not in repr(config)
    assert "SKjR" not in repr(config)


def test_merges_that_multiply_are_refused(tmp_path):
    """A file of a few lines cannot become a million entries, nor a merge without end."""
    lines = ["x: &a0 {a: b}"]
    lines += [f"y{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    assert problems(written(tmp_path, "\n".join([*lines, "basic_auth_users: *a8"])))
    assert problems(written(tmp_path, "basic_auth_users: &a {<<: *a}"))
    assert problems(written(tmp_path, "[" * 10_000))
