"""Says in words why a connection broke: sockets, TLS and HTTP in, the project's own errors out.

certificate or handshake that fails   → `tls`
proxy that refuses                    → `network`, tried again unless it wants another password
not HTTP, cut off, not reached        → `network`, tried again
"""

import os
import socket
import ssl
from collections.abc import Iterator

from exporter.errors import PollError, Reason

_MAX_CAUSES = 50
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
# h11's words for headers without an end, and for an end within the headers.
_TOO_LONG = "Receive buffer too long"
_CUT_OFF = "peer unexpectedly closed connection"


def broken_connection(error: Exception, host: str) -> PollError:
    """Return why a host cannot be reached or does not answer, from all that led to `error`."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and not _is_end(cause):
            return PollError(Reason.TLS, _tls_fault(cause, host))

    # A dictionary, for each attempt may say the same.
    said = dict.fromkeys(map(_system_words, causes))
    said.pop("", None)
    if said:
        return _network(f"cannot reach {host}: {', '.join(said)}")
    if any(map(_is_end, causes)):
        return _network(f"{host} closed the connection during the TLS handshake")
    return _network(f"the connection to {host} broke: {type(error).__name__}")


def broken_answer(error: Exception, host: str, *, begun: bool) -> PollError:
    """Return what is wrong with an answer that is not HTTP as it should be, or not there."""
    if begun:
        return _network(f"the answer of {host} broke off, or is not HTTP from there on")
    words = [str(cause) for cause in _causes(error) if type(cause).__module__.startswith("h11")]
    if _TOO_LONG in words:
        return _network(f"the headers of what {host} answered are too long")
    if not words or _CUT_OFF in words:
        # What does not speak HTTP often ends so too, after a line of its own that nobody hands on.
        return _network(
            f"{host} closed the connection without a complete answer in HTTP;"
            " if that goes on, another protocol or port may be meant"
        )
    return _network(f"what {host} answered is not HTTP; another protocol or port may be meant")


def broken_body(host: str) -> PollError:
    """Return what is wrong where a connection ended within a body that has no length."""
    return _network(f"the connection to {host} ended in the middle of the answer")


def refused_by_proxy(answer: str) -> PollError:
    """Return why a proxy built no tunnel; `answer` is its status and words, fit for a log."""
    if answer.startswith("407"):
        message = f"the proxy wants another user and password in api.proxy_url: HTTP {answer}"
        return PollError(Reason.NETWORK, message)
    return _network(f"the proxy refused to connect: HTTP {answer}")


def _network(message: str) -> PollError:
    return PollError(Reason.NETWORK, message, retryable=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it, those of several attempts side by side too."""
    waiting: list[BaseException | None] = [error]
    for _ in range(_MAX_CAUSES):
        if not waiting:
            return
        cause = waiting.pop(0)
        if cause is None:
            continue
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
        waiting.append(cause.__cause__ or cause.__context__)


def _is_end(error: BaseException) -> bool:
    """Whether a TLS error is only a connection that ended."""
    return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _tls_fault(error: ssl.SSLError, host: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {host} is not trusted: {error.verify_message}"
    hint = "; what answers there does not speak TLS" if error.reason in _NO_TLS else ""
    return f"TLS with {host} failed: {error.reason or 'handshake error'}{hint}"


def _system_words(error: BaseException) -> str:
    """Return what the system says about a connection; asyncio would name the address as well."""
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError) or error.errno is None:
        return ""
    if isinstance(error, socket.gaierror):
        return error.strerror or ""
    return os.strerror(error.errno)
