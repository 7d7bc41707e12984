"""Replay in tests: a worker that remembers no run, and the histories that a test has left behind.

With WITHOUT_CACHE=1 every worker of `System.worker` replays a run from its first event in each of its tasks. With
REPLAY_HISTORIES=1 a test that has passed replays what its runs have left, on the code and the constants of now.
"""

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from temporalio.client import Client, WorkflowHistory
from temporalio.common import WorkflowIDReusePolicy
from temporalio.workflow import NondeterminismError

from worker import make_replayer
from workflows import continuing

WITHOUT_CACHE: Mapping[str, Any] = {
    "max_cached_workflows": 0,
    "max_concurrent_workflow_task_polls": 1,
    "workflow_failure_exception_types": [NondeterminismError],
}
"""Options of a worker. A task that does not replay fails its run: the next attempt could come out right by chance."""


def cache_options() -> Mapping[str, Any]:
    """Those of every worker of a test."""
    return WITHOUT_CACHE if os.environ.get("WITHOUT_CACHE") == "1" else {}


def replaying() -> bool:
    return os.environ.get("REPLAY_HISTORIES") == "1"
