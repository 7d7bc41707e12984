"""What is sent with an update, or starts a run, is one JSON object. The Temporal UI sends none where its box is empty."""

from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

NO_OBJECT = "a JSON object is needed"


def unreadable(what: str, why: str) -> ApplicationError:
    """`what` is a request or a message; `why` names the fields, and no value."""
    return ApplicationError(f"The {what} cannot be read: {why}.", type=f"unreadable_{what}", non_retryable=True)


# Rule: An update that is not one JSON object is refused in a sentence
class InputCheck(Interceptor):
    """Refuses an update that has no argument, or several, before Python would say it in its own words. A run that is started
    so fails."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        return _CheckedInput


class _CheckedInput(WorkflowInboundInterceptor):
    # Rule: Input that cannot be read fails a run, and a message that cannot be read is refused [none at all]
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        if len(input.args) != 1:
            raise unreadable("request", NO_OBJECT)
        return await super().execute_workflow(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002
        if (count := len(input.args)) != 1:
            sent = f"{count} were sent" if count else "nothing was sent"
            raise ApplicationError(
                f"The update {input.update} takes one JSON object, as its description shows; {sent}.",
                type="unreadable_message",
                non_retryable=True,
            )
        super().handle_update_validator(input)
