"""Settings of `api.py`, from the environment, and the keys that open it."""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.request import BusinessId
from runtime.logs import LogFormat
from runtime.settings import Seconds


class Role(StrEnum):
    """What the holder of a key is. A `service` is a program that speaks for the customers it names; the others are each one
    person, because the one who approves must not be the one who asked."""

    SERVICE = "service"
    CUSTOMER_SERVICE = "customer_service"
    REFUND_DEPARTMENT = "refund_department"


class ApiKey(BaseModel):
    """A key as the settings know it: not the key, but its SHA-256. That is enough for a key that is long and random; it is
    no way to keep a password. `id` is who acts, as it stands in the records."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    role: Role
    id: BusinessId
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _words(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


def _parts(value: Any) -> Any:
    """`ROLE:ID:SHA256`, without the value in the message when it is something else."""
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) != 3:
        raise ValueError("write a key as ROLE:ID:SHA256")
    return dict(zip(("role", "id", "sha256"), parts, strict=True))


class ApiSettings(BaseSettings):
    """Several keys or secrets are written with spaces between them: while one is replaced, both the old and the new one are
    valid. Without a webhook secret the provider's webhooks are refused; without its API key nobody looks for those that
    never came. API keys and base URLs mean the same as for the worker."""

    model_config = SettingsConfigDict(hide_input_in_errors=True, extra="ignore", env_ignore_empty=True)

    database_url: str = "sqlite:///.run/cancellations.sqlite"
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes a free one."""
    api_keys: Annotated[
        tuple[Annotated[ApiKey, BeforeValidator(_parts)], ...],
        NoDecode,
        BeforeValidator(_words),
        Field(min_length=1),
    ]
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_words)] = ()
    easypost_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_words)] = ()
    stripe_api_key: SecretStr | None = None
    stripe_base_url: str | None = None
    easypost_api_key: SecretStr | None = None
    easypost_base_url: str | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Origins whose pages may call the API from a browser, `https://desk.shop.example` say."""
    reconcile_every: Annotated[Seconds, Field(gt=timedelta(0))] = timedelta(minutes=5)
    """How often the providers whose key is set are asked for events that never came. Seconds or ISO 8601."""
    decision_wait: Annotated[Seconds, Field(gt=timedelta(0), le=timedelta(seconds=30))] = timedelta(seconds=10)
    """How long a request waits for the decision before the answer is 202. Seconds or ISO 8601."""
    graceful_shutdown: Annotated[Seconds, Field(gt=timedelta(0))] = timedelta(seconds=40)
    """How long requests in flight may take after SIGTERM; longer than any waits for an answer."""

    log_format: LogFormat = LogFormat.CONSOLE
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @model_validator(mode="after")
    def _check_keys(self) -> "ApiSettings":
        """The sandbox's keys open nothing but the sandbox: without its stand-in the gateway is the real one."""
        if self.stripe_base_url is None and any(key.sha256 in _OF_THE_SANDBOX for key in self.api_keys):
            raise ValueError(
                "API_KEYS has a key of the sandbox, which everybody knows; make keys of your own, as "
                "docs/configuration.md says"
            )
        return self


_OF_THE_SANDBOX = frozenset(sha256(key.encode()).hexdigest() for key in ("sandbox", "agent", "refunds-1", "refunds-2"))


# Rule: A key opens the API for one service or one person
def find_key(keys: Sequence[ApiKey], given: str) -> ApiKey | None:
    """Whose key this is. Every one is compared, each in constant time, so that the time taken reveals nothing."""
    digest = sha256(given.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found
