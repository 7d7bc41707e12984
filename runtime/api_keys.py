"""The keys that open the HTTP API: the file that has them, and what each of them may do."""

import hmac
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import structlog
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from domain.base import describe_validation_error
from domain.money import Money, money
from domain.request import ActorKind, BusinessId, ReasonCode
from runtime.toml_file import read_toml


class Role(StrEnum):
    """What the holder of a key is. A `service` is a program that speaks for the customers it names; the others are each one
    person, because the one who approves must not be the one who asked."""

    SERVICE = "service"
    CUSTOMER_SERVICE = "customer_service"
    REFUND_DEPARTMENT = "refund_department"


_ACTORS: Mapping[Role, frozenset[ActorKind]] = {
    Role.SERVICE: frozenset({ActorKind.CUSTOMER, ActorKind.SYSTEM}),
    Role.CUSTOMER_SERVICE: frozenset({ActorKind.CUSTOMER_SERVICE}),
    Role.REFUND_DEPARTMENT: frozenset({ActorKind.REFUND_DEPARTMENT}),
}
"""As whom each may speak: a service for a customer or by itself."""


def _parse_expiry(value: Any) -> Any:
    """In UTC, where a day is over as the next one begins. The last day that there is has no next one."""
    try:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value + timedelta(days=1), time(), UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
    raise ValueError("write a day or an instant, without quotes: 2027-01-31 or 2027-01-31T18:00:00Z")


def _parse_amount(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError('write an amount in quotes: "100.00 USD"')
    return money(value)


def _check_digest(value: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError("write what `printf %s KEY | sha256sum` makes of the key: 64 characters, 0 to 9 and a to f")
    return value


class ApiKey(BaseModel):
    """A key as the file knows it: not the key, but its SHA-256. That is enough for a key that is long and random; it is
    no way to keep a password. `id` is who acts, as it stands in the records. From `expires` on it opens nothing. `actors`,
    `reasons` and `at_most` bound what it may ask for; None: everything that its role may."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: BusinessId
    role: Role
    sha256: Annotated[str, AfterValidator(_check_digest)]
    expires: Annotated[AwareDatetime, BeforeValidator(_parse_expiry)] | None = None
    actors: Annotated[frozenset[ActorKind], Field(min_length=1)] | None = None
    reasons: Annotated[frozenset[ReasonCode], Field(min_length=1)] | None = None
    at_most: Annotated[Money, BeforeValidator(_parse_amount)] | None = None

    @model_validator(mode="after")
    def _check_scopes(self) -> "ApiKey":
        if unknown := (self.actors or frozenset()) - _ACTORS[self.role]:
            raise ValueError(
                f"a key of the role {self.role} cannot speak as {', '.join(sorted(unknown))}; it can as "
                f"{', '.join(sorted(_ACTORS[self.role]))}"
            )
        if self.at_most is not None and self.at_most.amount < 0:
            raise ValueError("at_most is an amount of 0 or more")
        return self

    @property
    def kinds(self) -> frozenset[ActorKind]:
        """As whom it speaks."""
        return _ACTORS[self.role] if self.actors is None else self.actors

    def may_give(self, reason: ReasonCode) -> bool:
        return self.reasons is None or reason in self.reasons

    # Rule: A key opens the API for one service or one person [until it expires]
    def has_expired(self, at: datetime) -> bool:
        return self.expires is not None and at >= self.expires


# Rule: The sandbox's keys open the sandbox alone
SANDBOX_KEYS: Mapping[str, tuple[Role, str]] = {
    "sandbox": (Role.SERVICE, "sandbox"),
    "agent": (Role.CUSTOMER_SERVICE, "agent-1"),
    "refunds-1": (Role.REFUND_DEPARTMENT, "R-1"),
    "refunds-2": (Role.REFUND_DEPARTMENT, "R-2"),
}
"""The sandbox's keys, and who each of them is: a shop that speaks for its customers, and three people. Everybody knows them,
so they open nothing but the sandbox."""


def digest_of(key: str) -> str:
    """What the file has of a key."""
    return sha256(key.encode()).hexdigest()


def sandbox_keys_file() -> str:
    """What the file of the sandbox's keys says."""
    entries = [
        f'[[key]]\nid = "{name}"\nrole = "{role}"\nsha256 = "{digest_of(key)}"\n'
        for key, (role, name) in SANDBOX_KEYS.items()
    ]
    return "\n".join(entries)


class _Keys(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: Annotated[tuple[ApiKey, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_digests(self) -> "_Keys":
        found: dict[str, str] = {}
        for key in self.key:
            if key.sha256 in found:
                raise ValueError(f"the keys {found[key.sha256]} and {key.id} are the same; make one for each")
            found[key.sha256] = key.id
        return self


# Rule: The sandbox's keys open the sandbox alone [refused elsewhere]
def load_keys(path: Path, *, sandbox: bool) -> tuple[ApiKey, ...]:
    """Raises ValueError that names the file and what is wrong with it, never a digest. `sandbox`: nothing but the sandbox is
    behind it."""
    try:
        keys = _Keys.model_validate(read_toml(path)).key
    except OSError as error:
        raise ValueError(f"The keys of API_KEYS_FILE ({path}) cannot be read: {error.strerror}.") from None
    except ValueError as error:
        why = describe_validation_error(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"The keys of API_KEYS_FILE ({path}) are not valid: {why}.") from None
    known = {digest_of(key) for key in SANDBOX_KEYS}
    if not sandbox and any(key.sha256 in known for key in keys):
        raise ValueError(
            f"The keys of API_KEYS_FILE ({path}) have one of the sandbox, which everybody knows; make keys of your own, as "
            "docs/configuration.md says."
        )
    return keys


# Rule: A key opens the API for one service or one person
def find_key(keys: Sequence[ApiKey], given: str) -> ApiKey | None:
    """Whose key this is, expired or not. Every one is compared, each in constant time, so that the time taken reveals
    nothing."""
    digest = digest_of(given)
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


_Stamp = tuple[int, ...] | None


# Rule: The file of keys is read again when it has changed
class KeyFile:
    """The keys in force. The file is read again when it has changed. One that cannot be used then changes nothing: the keys
    before it stay in force, and `problem` says so."""

    def __init__(self, path: Path, *, sandbox: bool) -> None:
        """Raises ValueError like `load_keys`."""
        self._path = path
        self._sandbox = sandbox
        self._stamp = self._read_stamp()
        self._keys = load_keys(path, sandbox=sandbox)
        self.problem: str | None = None

    def current(self) -> tuple[ApiKey, ...]:
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._reload()
        return self._keys

    def _reload(self) -> None:
        log = structlog.get_logger()
        try:
            self._keys = load_keys(self._path, sandbox=self._sandbox)
        except ValueError as error:
            self.problem = str(error)
            log.error("api_keys_not_read", error=self.problem)
        else:
            self.problem = None
            log.info("api_keys_read", keys=len(self._keys))

    def _read_stamp(self) -> _Stamp:
        """What changes with the file. None: it is not there."""
        try:
            seen = os.stat(self._path)  # noqa: PTH116 (of a few microseconds, at every request)
        except OSError:
            return None
        return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
