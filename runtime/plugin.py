"""The one Temporal plugin: client, worker, replayer and test server read and write workflows the same way by it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import temporalio.api.common.v1
from pydantic import BaseModel, ValidationError
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from domain.base import reason_of
from domain.carried import Carried
from domain.examination import ExaminationRequest
from domain.messages import Approve, ChooseRefundMethod, Reject, ResolveStep, RetryStep, Withdraw
from domain.request import CancellationRequest
from runtime.input_check import NO_OBJECT, InputCheck, unreadable

TASK_QUEUE = "order-cancellation"

PURE = ("domain", "holidays", "iso4217", "pydantic", "runtime", "structlog")
"""Packages without clocks, randomness or state: a run that shares them with the others loses nothing in safety."""

PROCESS: tuple[str, ...] = ("activities", "workflows")
"""The process itself, and the signatures that it knows of the activities. Reading them anew for each run was a large
part of what a run cost the worker, in time and memory (decision 0064). What the sandbox would find is found by a rule about
the source (tests/runtime/test_sandbox.py), and by the workflow tests with the process inside of the sandbox
(`make test-sandbox`)."""


def sandboxed(runner: SandboxedWorkflowRunner) -> SandboxedWorkflowRunner:
    """The workflow sandbox with our pass-through."""
    restrictions = runner.restrictions.with_passthrough_modules(*PURE, *PROCESS)
    return dataclasses.replace(runner, restrictions=restrictions)


def _runner(existing: WorkflowRunner | None) -> WorkflowRunner:
    if existing is None or isinstance(existing, SandboxedWorkflowRunner):
        return sandboxed(existing or SandboxedWorkflowRunner())
    return existing


_MESSAGES = ([Approve], [Reject], [Withdraw], [RetryStep], [ResolveStep], [ChooseRefundMethod])
_START_OF_RUN = [CancellationRequest | Carried]
_START_INPUTS = ([CancellationRequest], [ExaminationRequest], _START_OF_RUN)


# Rule: Input that cannot be read fails a run, and a message that cannot be read is refused
class _Converter(PydanticPayloadConverter):
    """A start input that does not validate fails the run: retrying its task would never heal it. A message that does not is
    refused, and its sender hears why. Nothing at all and bytes, which are read without a type, do not validate either.
    Whatever else does not validate fails the task, is seen, and heals with the deploy that knows the word; so does a run's
    input in an encoding of which the worker has no codec yet."""

    def from_payloads(
        self, payloads: Sequence[temporalio.api.common.v1.Payload], type_hints: list[type] | None = None
    ) -> list[Any]:
        if type_hints not in (*_START_INPUTS, *_MESSAGES):
            return super().from_payloads(payloads, type_hints)
        what = "message" if type_hints in _MESSAGES else "request"
        try:
            read = super().from_payloads(payloads, type_hints)
        except ValidationError as error:
            raise unreadable(what, _fields_of(error)) from None
        except (KeyError, RuntimeError):
            if type_hints == _START_OF_RUN:
                raise
            raise unreadable(what, "its encoding is not known here") from None
        if not all(isinstance(value, BaseModel) for value in read):
            raise unreadable(what, NO_OBJECT)
        return read


def _fields_of(error: ValidationError) -> str:
    """What is wrong, by field; never the value. Of the two that a start input may be, people send requests; pydantic puts
    the name of the one that it tried before the field."""
    found: dict[str, str] = {}
    for wrong in error.errors():
        place = [str(part) for part in wrong["loc"]]
        if Carried.__name__ not in place:
            field = ".".join(part for part in place if CancellationRequest.__name__ not in part)
            why = reason_of(wrong["type"], wrong["msg"])
            found.setdefault(field, why)
    return "; ".join(f"{field}: {why}" if field else why for field, why in found.items())


# Rule: A refusal names no place in the code
class _FailureConverter(DefaultFailureConverter):
    """An `ApplicationError` is raised on purpose, with a sentence for whoever reads it. Where in the code it was raised is
    nothing to them; of anything else, which is a mistake in the code, it is kept."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        super().to_failure(exception, payload_converter, failure)
        if isinstance(exception, ApplicationError):
            failure.stack_trace = ""


# Rule: A bug blocks the run, because no type of exception is named that fails one
def plugin() -> SimplePlugin:
    """Pydantic payloads and the workflow sandbox with its pass-through."""
    return SimplePlugin(
        "order-cancellation",
        data_converter=dataclasses.replace(
            pydantic_data_converter, payload_converter_class=_Converter, failure_converter_class=_FailureConverter
        ),
        workflow_runner=_runner,
        interceptors=[InputCheck()],
    )
