"""Structured logs: one line per fact, with cancellation, order, step and attempt on every line, once also under replay."""

import logging
import sys
from enum import StrEnum
from typing import Any

import structlog
from temporalio import activity, workflow
from temporalio.exceptions import ApplicationErrorCategory
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from domain.keys import id_of
from domain.request import CancellationRequest


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


def _not_under_replay(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if workflow.in_workflow() and workflow.unsafe.is_replaying():
        raise structlog.DropEvent
    return event


def _run_context(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The context of a workflow comes from the run itself: its event loop does not carry context variables over."""
    if workflow.in_workflow():
        info = workflow.info()
        event.setdefault("workflow_id", info.workflow_id)
        if info.workflow_id.startswith("cancel-order-"):
            event.setdefault("order_id", info.workflow_id.removeprefix("cancel-order-"))
        event.setdefault("run_id", info.run_id)
    return event


def configure(form: LogFormat, level: LogLevel = LogLevel.INFO) -> None:
    """Send structlog and the standard library's logging through one pipeline to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _run_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor]
    # Tracebacks come without the local variables of each frame: they hold requests, keys and customers' data.
    if form is LogFormat.JSON:
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        render = [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        render = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[_not_under_replay, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.value]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # A line for every request, with its address; and for each look at the version of the tables.
    for chatty in ("stripe", "httpx2", "httpcore2", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False


class LogContext(Interceptor):
    """Puts the ids of the step on every line that an activity or a workflow writes, and notes how each attempt ended."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _ActivityContext(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor] | None:
        return _WorkflowContext


class _ActivityContext(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        step_input = input.args[0] if input.args else None
        log = structlog.get_logger()
        with structlog.contextvars.bound_contextvars(
            cancellation_id=getattr(step_input, "cancellation_id", None),
            order_id=getattr(step_input, "order_id", None),
            target=getattr(step_input, "target", None),
            step=info.activity_type,
            attempt=info.attempt,
            run_id=info.workflow_run_id,
        ):
            try:
                result = await super().execute_activity(input)
            except Exception as failure:
                kind = getattr(failure, "type", None) or type(failure).__name__
                if getattr(failure, "category", None) is ApplicationErrorCategory.BENIGN:
                    log.info("step_attempt_is_repeated", why=kind)
                else:
                    log.warning("step_attempt_failed", error=kind)
                raise
            log.info("step_attempt_succeeded")
            return result


class _WorkflowContext(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        log = structlog.get_logger()
        asked = input.args[0] if input.args else None
        if isinstance(asked, CancellationRequest):
            log = log.bind(cancellation_id=id_of(asked))
        kind = workflow.info().workflow_type.removesuffix("Workflow").lower()  # cancellation, quote
        log.info(f"{kind}_started")
        try:
            result = await super().execute_workflow(input)
        except Exception as failure:
            log.warning(f"{kind}_failed", error=getattr(failure, "type", None) or type(failure).__name__)
            raise
        log.info(f"{kind}_ended", outcome=getattr(result, "outcome", None))
        return result
