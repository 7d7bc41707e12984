"""`python -m runtime.health`: exit 0 when this host's worker has polled Temporal in the last two minutes, 1 when it has not.

That is all a worker owes the outside, and it holds only when its process, its network and Temporal are all right.
"""

import asyncio
import socket
import sys
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from runtime.connection import connection
from runtime.plugin import TASK_QUEUE
from runtime.shutdown import exit_now

# A poll lasts up to a minute and is counted from its beginning.
RECENT = timedelta(minutes=2)


async def has_polled(client: Client, task_queue: str, *, host: str | None = None) -> bool:
    """Whether a worker, of this host where one is named (the SDK's identity is `pid@host`), has polled within RECENT."""
    queue = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    since = datetime.now(UTC) - RECENT
    return any(
        host in {None, poller.identity.partition("@")[2]} and poller.last_access_time.ToDatetime(tzinfo=UTC) > since
        for poller in queue.pollers
    )


async def polled() -> bool:
    """Whether a worker of this host has."""
    return await has_polled(await Client.connect(**connection()), TASK_QUEUE, host=socket.gethostname())


def main() -> int:
    try:
        healthy = asyncio.run(polled())
    except (RPCError, RuntimeError):
        print("Temporal does not answer; TEMPORAL_ADDRESS says where it is.", file=sys.stderr)
        return 1
    if not healthy:
        print(f"No worker of this host polls the task queue {TASK_QUEUE}.", file=sys.stderr)
    return 0 if healthy else 1


if __name__ == "__main__":
    exit_now(main())
