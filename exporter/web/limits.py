"""How long clients of the web server may take for each thing, and how many there may be."""

import resource

HANDSHAKE_PATIENCE = 10.0
"""Seconds for a client to finish a TLS handshake."""
REQUEST_PATIENCE = 10.0
"""Seconds for a client to finish the headers of a request."""
ANSWER_PATIENCE = 60.0
"""Seconds for a client to take a whole answer."""
STALL_PATIENCE = 30.0
"""Seconds for a client to take anything at all of an answer."""
IDLE_PATIENCE = 120.0
"""Seconds without a request between two scrapes."""

_MOST = 512  # each but a few takes up to 200 kB of buffers
_FEWEST = 8
_RESERVED = 32  # descriptors for the API, the listeners, secrets and whatever else is opened


def most_connections() -> int:
    """Return how many connections the limit of file descriptors allows beside all other work."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _MOST
    return max(_FEWEST, min(_MOST, limit - max(_RESERVED, limit // 4)))
