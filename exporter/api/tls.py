"""TLS towards the API.

The files of `tls_config`, and the same verdict about a certificate on every Python.
"""

import ssl
import stat
from pathlib import Path

from exporter.config.api_section import TlsConfig
from exporter.errors import Problem, refuse

_WHERE = "api.tls_config."


def ssl_context(tls: TlsConfig) -> ssl.SSLContext:
    """Return the context for connections to the API.

    Raises ConfigError for every file that cannot be used.
    """
    context, problems = _trusting(tls.ca_file)
    problems += _identify(context, tls.cert_file, tls.key_file)
    refuse(problems)
    # Python 3.13 began to refuse private authorities that lack what RFC 5280 wants of them, and to
    # trust those that another one vouches for. Every Python takes both here, as Prometheus does.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trusting(ca_file: Path | None) -> tuple[ssl.SSLContext, list[Problem]]:
    """Return a context that trusts the authorities of a file alone, or without one the system's."""
    fault = _fault(ca_file) if ca_file else ""
    try:
        if not fault:
            return ssl.create_default_context(cafile=ca_file), []
    except (ssl.SSLError, ValueError):
        fault = "holds no certificates in PEM form"
    problem = Problem(_WHERE + "ca_file", f"{ca_file} {fault}")
    return ssl.create_default_context(), [problem]


def _identify(
    context: ssl.SSLContext, cert_file: Path | None, key_file: Path | None
) -> list[Problem]:
    if cert_file is None:
        return []
    files = {"cert_file": cert_file, "key_file": key_file or cert_file}
    problems = [
        Problem(_WHERE + key, f"{path} {fault}")
        for key, path in files.items()
        if (fault := _fault(path))
    ]
    if problems:
        # Where one file serves for both, it is told of once.
        return problems[: len(set(files.values()))]
    if not _is_certificate(cert_file):
        return [Problem(_WHERE + "cert_file", f"{cert_file} holds no certificate in PEM form")]
    try:
        # With a password, even an empty one, OpenSSL does not ask the terminal for it.
        context.load_cert_chain(cert_file, key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        key = "key_file" if key_file else "cert_file"
        path = files["key_file"]
        return [Problem(_WHERE + key, f"{path} {_key_fault(path, error)}")]
    return []


def _fault(path: Path) -> str:
    """Return why a file cannot be read."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            # Reading a pipe might take for ever.
            return "is no regular file"
        path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "is not a path"
    return ""


def _is_certificate(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _key_fault(path: Path, error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "holds the key of another certificate than the one in cert_file"
    if b"ENCRYPTED" in path.read_bytes():
        return "holds a key that is encrypted: expected one without a password"
    return "holds no private key in PEM form"
