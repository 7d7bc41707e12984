"""Whether a worker reaches the systems that it works with, and what its order management system can tell and do."""

from enum import StrEnum

from domain.base import Value
from domain.findings import Finding


class Counterpart(StrEnum):
    """The systems that a worker works with."""

    DATABASE = "database"
    ORDERS = "orders"
    STORED_VALUE = "stored_value"
    GATEWAY = "gateway"
    LABELS = "labels"
    CARRIER = "carrier"
    MAIL = "mail"
    MARKETPLACE = "marketplace"
    """It is not asked by an examination: it may let its orders be listed once a minute, and a cancellation would wait for
    that."""


class Answer(Value):
    """`failure` says why it does not answer, and what to do; None: it answers."""

    counterpart: Counterpart
    failure: str | None = None


class ExaminationRequest(Value):
    """Input of `ExaminationWorkflow`. There is nothing to choose: all that the worker works with is examined."""


class Examination(Value):
    """Result of `ExaminationWorkflow`. Of the worker that was asked: its version and that of its policy, the systems that it
    is connected to, and the findings about its order management system, which are missing where that does not answer."""

    version: str
    policy_version: str
    answers: tuple[Answer, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def failed(self) -> bool:
        return any(answer.failure is not None for answer in self.answers)
