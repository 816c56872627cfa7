"""Puts a refresh token into the folder of the state where this one was not put there before."""

import hashlib
import os
import sys
from pathlib import Path

given, folder = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
token, known = folder / "refresh-token", folder / "refresh-token.seed"
digest = hashlib.sha256(given).hexdigest()
if not known.exists() or known.read_text() != digest:
    os.umask(0o077)
    for file, content in ((token, given), (known, digest.encode())):
        beside = file.with_suffix(".new")
        beside.write_bytes(content)
        beside.replace(file)
