"""What can go wrong for a caller, in one sentence that says what to do next; and how Temporal's failures become
that."""

from collections.abc import Awaitable
from enum import IntEnum
from typing import TypeVar

from pydantic import ValidationError
from temporalio.client import Client, RPCTimeoutOrCancelledError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from client.pauses import find_pause
from client.program import own_command
from domain.errors import ErrorCode
from domain.outcome import CancellationResult, Outcome
from runtime import search_attributes as attributes
from runtime.texts import translate

T = TypeVar("T")

_RUN_CLOSED_FIRST = "AcceptedUpdateCompletedWorkflow"  # the server's name for a message that its run did not answer


# Rule: The command line ends with this code
class ExitCode(IntEnum):
    """How a call ended. The command line ends with it; starter.py documents each."""

    DONE = 0
    NOT_CANCELLED = 1
    WRONG_INPUT = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    UNDECIDED = 6
    NOT_WRITTEN = 7
    INTERRUPTED = 130

    @classmethod
    def of(cls, result: CancellationResult) -> "ExitCode":
        cancelled = result.outcome in {Outcome.CANCELLED, Outcome.PARTIALLY_CANCELLED}
        return cls.DONE if cancelled else cls.NOT_CANCELLED


class StarterError(Exception):
    """What a caller has to know. `sentence` is meant for people, `code` for programs."""

    def __init__(self, code: ExitCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class OrderNotFound(StarterError):
    """The order is unknown or not this customer's: nobody learns which."""

    def __init__(self, sentence: str) -> None:
        super().__init__(ExitCode.NOT_FOUND, sentence)


class RunSuperseded(StarterError):
    """A run of another namespace was ordered to take the cancellation over; ask there."""

    def __init__(self, sentence: str) -> None:
        super().__init__(ExitCode.NOT_CANCELLED, sentence)


class UnderWay(StarterError):
    """A cancellation of another scope is under way. Nothing of the request is kept: it has to be sent again."""

    def __init__(self, sentence: str) -> None:
        super().__init__(ExitCode.REFUSED, sentence)


class AboveLimit(StarterError):
    """More money would go out than the sender may give back."""

    def __init__(self, sentence: str) -> None:
        super().__init__(ExitCode.REFUSED, sentence)


# Rule: What is sent to a paused run is refused, and not kept
class RunPaused(StarterError):
    """Somebody has paused the run, and it takes nothing until somebody unpauses it. Nothing of what was sent is kept: it has
    to be sent again."""

    def __init__(self, sentence: str) -> None:
        super().__init__(ExitCode.REFUSED, sentence)


async def translate_errors(client: Client, order_id: str | None, call: Awaitable[T]) -> T:
    """The call's answer; its failures as `StarterError`. Only TimeoutError is left to the caller."""
    try:
        return await call
    except RPCError as error:
        raise await explain(client, order_id, error) from None
    except WorkflowUpdateFailedError as error:
        raise _refusal(error) from None
    except RPCTimeoutOrCancelledError:
        raise TimeoutError from None
    except ValidationError:
        raise StarterError(
            ExitCode.UNDECIDED,
            translate(
                "The answer{about} is of a newer version than this one and cannot be read; update this version and "
                "ask again.",
                about=translate(" about order {order_id}", order_id=order_id) if order_id else "",
            ),
        ) from None


async def explain(client: Client, order_id: str | None, error: RPCError) -> StarterError:
    """What the server's answer means. Where it is about a run, it is the run of `order_id`."""
    address = client.service_client.config.target_host
    namespace = client.namespace
    match error.status:
        case RPCStatusCode.NOT_FOUND if "amespace" in error.message:
            sentence = translate(
                "Temporal at {address} has no namespace {namespace}; create it, or set TEMPORAL_NAMESPACE.",
                address=address,
                namespace=namespace,
            )
        case RPCStatusCode.NOT_FOUND:
            command = own_command("start", str(order_id), "--actor", "KIND:ID", "--reason", "REASON")
            return StarterError(
                ExitCode.NOT_FOUND,
                translate(
                    "There is no cancellation of order {order_id}; start one with: {command}",
                    order_id=order_id,
                    command=command,
                ),
            )
        case RPCStatusCode.PERMISSION_DENIED | RPCStatusCode.UNAUTHENTICATED:
            sentence = translate(
                "Temporal at {address} refuses our credentials for namespace {namespace}; check TEMPORAL_API_KEY and "
                "the certificates.",
                address=address,
                namespace=namespace,
            )
        case RPCStatusCode.INVALID_ARGUMENT if missing := await attributes.missing(client):
            command = attributes.creating_command(missing, namespace)
            sentence = translate(
                "Namespace {namespace} lacks search attributes; create them with: {command}",
                namespace=namespace,
                command=command,
            )
        case RPCStatusCode.UNAVAILABLE:
            return unreachable(address)
        case RPCStatusCode.FAILED_PRECONDITION if order_id and (
            paused := await find_pause(client, order_id, _send_again(), of_steps=False)
        ):
            return RunPaused(paused)
        case status:
            sentence = translate(
                "Temporal at {address} could not answer ({status}); repeat the call; that is safe.",
                address=address,
                status=status.name.lower(),
            )
    return StarterError(ExitCode.UNREACHABLE, sentence)


def _send_again() -> str:
    return translate("What was sent now was not kept; send it again afterwards. To unpause it")


def unreachable(address: str) -> StarterError:
    return StarterError(
        ExitCode.UNREACHABLE,
        translate(
            "Temporal does not answer at {address}. Start it, or set TEMPORAL_ADDRESS to where it is.", address=address
        ),
    )


def is_left_unanswered(error: WorkflowUpdateFailedError) -> bool:
    """Whether the run took the message, and ended before it answered: what came of it nobody has said."""
    return isinstance(error.cause, ApplicationError) and error.cause.type == _RUN_CLOSED_FIRST


def _without_answer() -> str:
    return translate("The run ended before it could answer; look at its result.")


def _refusal(error: WorkflowUpdateFailedError) -> StarterError:
    """The sentence of a validator, or the cause of a roll-back that came before the decision."""
    cause = error.cause
    if is_left_unanswered(error):
        return StarterError(ExitCode.UNDECIDED, _without_answer())
    if not isinstance(cause, ApplicationError):
        return StarterError(ExitCode.NOT_CANCELLED, _without_answer())
    if cause.type == ErrorCode.ORDER_NOT_FOUND:
        return OrderNotFound(cause.message)
    if cause.type == ErrorCode.UNDER_WAY:
        return UnderWay(cause.message)
    if cause.type == ErrorCode.AMOUNT_EXCEEDS_AT_MOST:
        return AboveLimit(cause.message)
    code = ExitCode.NOT_CANCELLED if cause.type == ErrorCode.ROLLED_BACK else ExitCode.REFUSED
    return StarterError(code, cause.message)
