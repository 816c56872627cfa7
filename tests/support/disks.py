"""A disk that is full."""

import resource
from contextlib import contextmanager

PAGE = 4096


@contextmanager
def full_disk():
    """Let no file grow, nor be written to, beyond its first page."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
