"""The refresh token, which is spent when it is used.

So what replaces it is kept at once, in a file too where one is named.
"""

from pathlib import Path

import structlog

from exporter.api.redaction import Redactor
from exporter.api.secrets import read_secret, saving_fault, write_secret
from exporter.clock import Clock
from exporter.errors import PollError

_LOOKS = 7  # into the file for a token that another process is about to save
_BETWEEN_LOOKS = 0.5  # seconds

_log = structlog.get_logger(__name__)


class RefreshToken:
    """Holds the refresh token in memory and, where it has a path, in a file.

    Others may change the file as well.
    """

    def __init__(self, path: Path | None, redactor: Redactor) -> None:
        self._path = path
        self._redactor = redactor
        self._value: str | None = None
        self._seen_in_file: str | None = None
        self._unsaved = False
        self._warned_of: str | None = None

    def current(self, *, needed: bool) -> str | None:
        """Return the token in memory, or that of the file where somebody put another one into it.

        Raises PollError `auth` where one is `needed`, and there is none that can be used.
        """
        if self._path is None:
            return self._value
        try:
            stored = read_secret(self._path, "api.refresh_token_file")
        except PollError:
            if self._value is None and needed:
                raise
            return self._value
        if stored != self._seen_in_file:
            self._value = self._seen_in_file = stored
            self._unsaved = False
            self._redactor.remember("refresh token", stored)
        return self._value

    async def another(self, refused: str, clock: Clock, *, patient: bool) -> str | None:
        """Return what has taken the place of a token that the API refused; None where nothing has.

        Where two processes send the same token, one may be refused before the other has saved its
        answer. A caller that is `patient` waits some seconds for that.
        """
        for look in range(_LOOKS if patient and self._path else 1):
            if look:
                await clock.sleep(_BETWEEN_LOOKS)
            value = self.current(needed=False)
            if value != refused:
                return value
        return None

    def warn_before_spending(self) -> None:
        """Log an error where the token in the file is about to be spent, and the next not saved."""
        if self._path is None or self._value != self._seen_in_file:
            return
        if self._value == self._warned_of:
            # Each attempt to send it comes here, also while the API cannot be reached.
            return
        self._warned_of = self._value
        if fault := saving_fault(self._path):
            message = "the refresh token is being spent and the next one cannot be saved"
            _log.error(message, path=str(self._path), error=fault)

    def keep(self, value: object) -> None:
        """Keep an answer's refresh token, if there is one: the token before it is spent."""
        if not isinstance(value, str) or not value or not value.isprintable():
            return
        self._value = value
        self._redactor.remember("refresh token", value)
        if self._path is not None:
            self._unsaved = True
            if fault := self._save(self._path, value):
                message = "refresh token not saved, a restart will need another"
                _log.error(message, path=str(self._path), error=fault)

    def save_again(self) -> None:
        """Save a token that was not saved so far, unless somebody put another into the file."""
        if not self._unsaved or self._path is None:
            return
        value = self.current(needed=False)
        if self._unsaved and value is not None and not self._save(self._path, value):
            _log.info("refresh token saved at last", path=str(self._path))

    def forget(self) -> None:
        """Forget the token, which the API refused. The file counts again once it holds another."""
        self._value = None
        self._unsaved = False

    def _save(self, path: Path, value: str) -> str:
        """Return why the token cannot be saved; nothing where it is."""
        try:
            write_secret(path, value)
        except OSError as error:
            return error.strerror or type(error).__name__
        except UnicodeEncodeError:
            return "it is no text"
        self._seen_in_file = value
        self._unsaved = False
        return ""
