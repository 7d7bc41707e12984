"""Workers as processes of their own, one for a cancellation, which can be disturbed at any of their calls.

A process that has loaded everything waits for orders on its standard input and forks a worker for each: a new interpreter
would take seconds. It has no thread and no event loop, and Temporal's own runtime is made after the fork.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import uvloop
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker._worker import load_default_build_id

import worker as product
from domain.base import Value
from providers.mail.smtp import SmtpMailer
from providers.orders.vendure.shop_file import ShopFile
from runtime import logs
from runtime.connection import connection
from runtime.plugin import plugin
from runtime.settings import WorkerSettings
from tests.faults.points import Disturbance, Gate, Port, Returns
from tests.system import POLICY

_STICKY = timedelta(seconds=1)


class WorkerOrder(Value):
    """`folder` is that of the case: the calls and the log are written there, and it has the socket of its control."""

    address: str
    database_url: str
    task_queue: str
    folder: Path
    disturbance: Disturbance = Disturbance()


def calls_file(folder: Path) -> Path:
    return folder / "calls.txt"


def log_file(folder: Path) -> Path:
    """Of all workers of the case."""
    return folder / "worker.log"


def control_socket(folder: Path) -> Path:
    return folder / "control"


async def _connect() -> Client:
    """Again while Temporal is away, as whoever runs a worker starts it again."""
    while True:
        try:
            return await Client.connect(**connection(), plugins=[plugin()])
        except (RPCError, RuntimeError):
            await asyncio.sleep(1)


async def _work(order: WorkerOrder) -> None:
    client = await _connect()
    gate = Gate(order.disturbance, calls_file(order.folder), control_socket(order.folder))
    async with product._counterparts(WorkerSettings(), ShopFile()) as (
        books,
        orders,
        stored_value,
        gateway,
        labels,
        intercepts,
        marketplace,
    ):
        made = product.make_worker(
            client,
            books=gate.wrap(Port.BOOKS, books),
            orders=gate.wrap(Port.ORDERS, orders),
            stored_value=gate.wrap(Port.STORED_VALUE, stored_value),
            gateway=gate.wrap(Port.GATEWAY, gateway),
            labels=gate.wrap(Port.LABELS, labels),
            intercepts=gate.wrap(Port.INTERCEPTS, intercepts),
            marketplace=gate.wrap(Port.MARKETPLACE, marketplace) if marketplace else None,
            mailer=SmtpMailer("127.0.0.1", 9, "shop@example.com"),  # nothing is sent here
            policy=POLICY,
            task_queue=order.task_queue,
            more_interceptors=(Returns(gate),),
            sticky_queue_schedule_to_start_timeout=_STICKY,
        )
        await made.run()


def _be_worker(order: WorkerOrder) -> NoReturn:
    log = os.open(log_file(order.folder), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["TEMPORAL_ADDRESS"] = order.address
    os.environ["DATABASE_URL"] = order.database_url
    logs.configure(logs.LogFormat.CONSOLE, logs.LogLevel.WARNING)
    os.setsid()  # the processes of one session share what one gets of a busy machine
    try:
        uvloop.run(_work(order))
    except BaseException:  # noqa: BLE001 - whatever it is, it stands in the log
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)  # what the parent would do at its end is not the child's


def main() -> None:
    """For each line of standard input a worker; its process id is the answer. They all end with this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    load_default_build_id()  # kept from then on; each worker would read all that is loaded for it
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    children: list[int] = []
    while line := sys.stdin.readline():
        order = WorkerOrder.model_validate_json(line)
        child = os.fork()
        if child == 0:
            _be_worker(order)
        children.append(os.pidfd_open(child))
        print(child, flush=True)
    for descriptor in children:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


if __name__ == "__main__":
    main()
