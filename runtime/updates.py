"""What is sent with an update is one JSON object. The Temporal UI sends none where its box is left empty."""

from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)


# Rule: An update that is not one JSON object is refused in a sentence
class UpdateCheck(Interceptor):
    """Refuses an update that has no argument, or several, before Python would say it in its own words."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        return _CheckedUpdates


class _CheckedUpdates(WorkflowInboundInterceptor):
    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002
        if (count := len(input.args)) != 1:
            sent = f"{count} were sent" if count else "nothing was sent"
            raise ApplicationError(
                f"The update {input.update} takes one JSON object, as its description shows; {sent}.",
                type="unreadable_message",
                non_retryable=True,
            )
        super().handle_update_validator(input)
