"""The section `api`: where the API is, how to reach it and how to sign in."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from exporter.config.addresses import usable_address, usable_proxy
from exporter.config.types import (
    Duration,
    File,
    Settings,
    Size,
    Whole,
    usable_secret,
    usable_token,
)
from exporter.errors import Problem

_NO_WAY_TO_SIGN_IN = (
    "expected a way to sign in: authorization, login or refresh_token_file here, or in the"
    " environment FLASHBACK_EMAIL and FLASHBACK_PASSWORD (or FLASHBACK_PASSWORD_FILE),"
    " FLASHBACK_REFRESH_TOKEN_FILE or FLASHBACK_ACCESS_TOKEN"
)


class Authorization(Settings):
    """A fixed bearer token, given in place or, better, in a file that is read for every request."""

    credentials: Annotated[SecretStr, AfterValidator(usable_token)] | None = None
    credentials_file: File | None = None

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield where the token has not one source."""
        if len({"credentials", "credentials_file"} & given.keys()) != 1:
            yield Problem("", "expected exactly one of credentials, credentials_file")


class Login(Settings):
    """E-mail and password for `POST /user/login`."""

    email: Annotated[str, Field(min_length=1)]
    password: Annotated[SecretStr, AfterValidator(usable_secret)] | None = None
    password_file: File | None = None

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield where the e-mail has no source or the password has not one."""
        if "email" not in given:
            yield Problem("email", "expected it here, or FLASHBACK_EMAIL in the environment")
        if {"password", "password_file"} <= given.keys():
            yield Problem("", "expected one of password, password_file, not both")
        if not {"password", "password_file"} & given.keys():
            ways = "password or password_file here, or {0} or {0}_FILE in the environment"
            yield Problem("", "expected " + ways.format("FLASHBACK_PASSWORD"))


class TlsConfig(Settings):
    """TLS towards the API, as in Prometheus."""

    ca_file: File | None = None
    cert_file: File | None = None
    key_file: File | None = None
    insecure_skip_verify: bool = False

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield where a key has no certificate."""
        if "key_file" in given and "cert_file" not in given:
            yield Problem("key_file", "expected cert_file beside it")


class Api(Settings):
    """Where the API is and how to reach and sign in to it."""

    allow_plain_http: bool = False
    base_url: Annotated[str, AfterValidator(usable_address)] = "https://backend.flashback.tech"
    authorization: Authorization | None = None
    login: Login | None = None
    refresh_token_file: File | None = None
    timeout: Annotated[Duration, Field(gt=0)] = 30.0
    max_response_size: Size = 1 << 30
    max_concurrent_requests: Annotated[Whole, Field(ge=1, le=100)] = 2
    proxy_url: Annotated[SecretStr, AfterValidator(usable_proxy)] | None = None
    tls_config: TlsConfig = TlsConfig()

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield where there is no way to sign in, or two that do not go together."""
        ways = {"authorization", "login", "refresh_token_file"} & given.keys()
        if "authorization" in ways and len(ways) > 1:
            fault = "expected one way to sign in: authorization, or login and/or refresh_token_file"
            yield Problem("", fault)
        if not ways:
            yield Problem("", _NO_WAY_TO_SIGN_IN)

    @property
    def email(self) -> str | None:
        """Who signs in, where that is known."""
        return self.login.email if self.login else None
