"""The one Temporal plugin: client, worker, replayer and test server read and write workflows the same way by it."""

import dataclasses

from pydantic import ValidationError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

TASK_QUEUE = "order-cancellation"

# Pure or replay-aware packages: importing them once instead of once a run costs the sandbox nothing in safety.
PASSED_THROUGH = ("domain", "iso4217", "pydantic", "runtime", "structlog")


def sandboxed(runner: SandboxedWorkflowRunner) -> SandboxedWorkflowRunner:
    """The workflow sandbox with our pass-through."""
    return dataclasses.replace(runner, restrictions=runner.restrictions.with_passthrough_modules(*PASSED_THROUGH))


def _runner(existing: WorkflowRunner | None) -> WorkflowRunner:
    if existing is None or isinstance(existing, SandboxedWorkflowRunner):
        return sandboxed(existing or SandboxedWorkflowRunner())
    return existing


def plugin() -> SimplePlugin:
    """Pydantic payloads, the workflow sandbox with its pass-through, and input that does not validate as a clean failure
    of the run: retrying the task would never heal it."""
    return SimplePlugin(
        "order-cancellation",
        data_converter=pydantic_data_converter,
        workflow_runner=_runner,
        workflow_failure_exception_types=[ValidationError],
    )
