"""The floor's worker, a process like `worker.py run`: the same event loop, connection, plugin and options of the
SDK, no counterpart.

It has no interceptors: logs, heartbeats and the words of failures are the product's, and are paid by the product.
"""

import asyncio
import signal
from datetime import timedelta

import structlog
import uvloop
from temporalio.client import Client
from temporalio.worker import Worker

from benchmarks.empty import TASK_QUEUE, EmptyWorkflow, nothing
from runtime import logs
from runtime.connection import connection
from runtime.plugin import plugin
from runtime.shutdown import exit_now


async def main() -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(**connection(), plugins=[plugin()])
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[EmptyWorkflow],
        activities=[nothing],
        graceful_shutdown_timeout=timedelta(seconds=5),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
    )
    async with worker:
        structlog.get_logger().info("worker_started", task_queue=TASK_QUEUE)
        await stop.wait()
    return 0


if __name__ == "__main__":
    logs.configure(logs.LogFormat.JSON)
    exit_now(uvloop.run(main()))
