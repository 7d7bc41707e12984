"""The worker: hosts the workflows, their activities, and the delivery of notices and deferred requests; replays histories
against its code.

python worker.py run                      settings by environment, see docs/configuration.md
python worker.py replay FILE …            histories exported as JSON
python worker.py replay --query 'CloseTime IS NULL'
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer
import uvloop
from pydantic import ValidationError
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError
from temporalio.worker import Interceptor, Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.closing import ClosingActivities
from activities.deciding import Deciding
from activities.examining import Counterparts, ExaminingActivities, log_findings
from activities.failures import StepFailures
from activities.notices import NoticeActivities, NoticeDispatcher
from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.refunds import RefundActivities
from activities.register import RegisterActivities
from activities.shipments import ShipmentActivities
from activities.tenders import Payments
from client.cancellations import Cancellations
from client.deferred import DeferredRequestDispatcher
from client.engine import list_runs
from domain.errors import Unavailable
from domain.policy import Policy
from providers.books.books import Books, SqlBooks
from providers.carrier.easypost import EasyPostLabels
from providers.carrier.port import Intercepts, Labels
from providers.carrier.ups import UpsIntercepts
from providers.database.engine import open_engine
from providers.database.migrate import WrongTables, check_tables
from providers.gateway.port import PaymentGateway
from providers.gateway.stripe import StripeGateway
from providers.mail.port import Mailer
from providers.mail.smtp import SmtpMailer
from providers.marketplace.mirakl import MiraklMarketplace
from providers.marketplace.port import Marketplace
from providers.orders.built_in.orders import BuiltInOrders
from providers.orders.port import Orders
from providers.orders.vendure.api import VendureApi
from providers.orders.vendure.orders import VendureOrders
from providers.orders.vendure.shop_file import ShopFile, load_shop_file
from providers.stored_value.built_in import BuiltInStoredValue
from providers.stored_value.port import StoredValue
from runtime import logs, search_attributes
from runtime.connection import connection
from runtime.heartbeats import Heartbeats
from runtime.plugin import TASK_QUEUE, plugin, sandboxed
from runtime.policy_file import load_policy
from runtime.queried_runs import QueriedRuns
from runtime.settings import WorkerSettings, settings_error
from runtime.shutdown import cancel_and_wait, exit_now
from workflows.cancellation import CancellationWorkflow
from workflows.examination import ExaminationWorkflow
from workflows.quote import QuoteWorkflow

WORKFLOWS = (CancellationWorkflow, QuoteWorkflow, ExaminationWorkflow)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

# How long the server waits for the worker that knows a run before it gives the run to another one, after a crash.
STICKY = timedelta(seconds=3)

# A local attempt has a short time-out (workflows/steps.py). A busy worker finishes some dozens at a time; with more at once,
# all of them would time out.
LOCAL_AT_ONCE = 25

DEFAULT_NAMESPACE = "default"

EXIT_USAGE = 2
EXIT_FAILED = 1
EXIT_UNREACHABLE = 3


def make_worker(
    client: Client,
    *,
    books: Books,
    orders: Orders,
    stored_value: StoredValue,
    gateway: PaymentGateway,
    labels: Labels,
    intercepts: Intercepts,
    mailer: Mailer,
    policy: Policy,
    marketplace: Marketplace | None = None,
    task_queue: str = TASK_QUEUE,
    more_interceptors: Sequence[Interceptor] = (),
    **options: object,
) -> Worker:
    """A worker on these counterparts. `options` are the Temporal worker's own."""
    tenders = Payments(books, stored_value, gateway, marketplace)
    deciding = Deciding(register=books, stored_value=stored_value, payments=tenders, labels=labels, policy=policy)
    on_orders = OrderActivities(
        register=books,
        outbox=books,
        orders=orders,
        payments=tenders,
        labels=labels,
        policy=policy,
        deciding=deciding,
    )
    closing = ClosingActivities(register=books, orders=orders, deciding=deciding)
    on_shipments = ShipmentActivities(
        register=books,
        outbox=books,
        orders=orders,
        stored_value=stored_value,
        labels=labels,
        intercepts=intercepts,
    )
    on_payments = PaymentActivities(
        register=books, outbox=books, orders=orders, stored_value=stored_value, gateway=gateway, payments=tenders
    )
    on_refunds = RefundActivities(books, books)
    on_register = RegisterActivities(books, books, orders, policy, gateway)
    notices = NoticeActivities(books, books, policy)
    counterparts = Counterparts(books, orders, stored_value, gateway, labels, intercepts, mailer)
    examining = ExaminingActivities(counterparts, policy.version)
    runs = QueriedRuns(sandboxed(SandboxedWorkflowRunner()))
    options.setdefault("workflow_runner", runs)
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=[
            on_register.take_up,
            on_register.record_decision,
            on_register.receive_request,
            on_orders.verify_order,
            on_orders.quote_cancellation,
            on_orders.release_order,
            closing.check_order,
            closing.close_order,
            closing.close_cancellation,
            on_shipments.stop_shipment,
            on_shipments.check_shipment,
            on_shipments.resume_shipment,
            on_payments.reverse_payment,
            on_payments.give_store_credit,
            on_payments.check_refund,
            on_payments.restore_payment,
            on_refunds.credit_refund,
            on_refunds.revoke_refund,
            notices.remind_staff,
            examining.examine_counterparts,
        ],
        interceptors=[logs.LogContext(), StepFailures(), Heartbeats(), *more_interceptors],
        max_concurrent_local_activities=LOCAL_AT_ONCE,
        **options,  # type: ignore[arg-type]
    )
    return runs.watch(worker)


def _fail(code: int, sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


async def _connect() -> Client:
    config = connection()
    try:
        return await Client.connect(**config, plugins=[plugin()])
    except (RPCError, RuntimeError):
        _fail(
            EXIT_UNREACHABLE,
            f"Temporal does not answer at {config['target_host']}. Start it, or set TEMPORAL_ADDRESS to where it is.",
        )


async def _check_tables(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        await check_tables(engine)
    except WrongTables as error:
        _fail(EXIT_USAGE, str(error))
    except Unavailable:
        structlog.get_logger().warning("database_unavailable")  # the steps wait for it
    finally:
        await engine.dispose()


def _vendure(settings: WorkerSettings, shop_file: ShopFile) -> VendureOrders | None:
    if settings.vendure_url is None or settings.vendure_username is None or settings.vendure_password is None:
        return None
    password = settings.vendure_password.get_secret_value()
    return VendureOrders(
        VendureApi(settings.vendure_url, settings.vendure_username, password, settings.vendure_channel), shop_file
    )


@contextlib.asynccontextmanager
async def _counterparts(
    settings: WorkerSettings, shop_file: ShopFile
) -> AsyncIterator[tuple[Books, Orders, StoredValue, PaymentGateway, Labels, Intercepts, Marketplace | None]]:
    engine = open_engine(settings.database_url)
    gateway = StripeGateway(settings.stripe_api_key.get_secret_value(), settings.stripe_base_url)
    labels = EasyPostLabels(settings.easypost_api_key.get_secret_value(), settings.easypost_base_url)
    intercepts = UpsIntercepts(
        settings.ups_client_id,
        settings.ups_client_secret.get_secret_value(),
        settings.ups_base_url,
        settings.ups_token_url,
        contact_name=settings.ups_contact_name,
        contact_phone=settings.ups_contact_phone,
        test_environment=settings.ups_test_environment,
    )
    marketplace = None
    if settings.marketplace_base_url and settings.marketplace_api_key:
        marketplace = MiraklMarketplace(
            settings.marketplace_base_url,
            settings.marketplace_api_key.get_secret_value(),
            reason_code=settings.marketplace_reason_code,
            orders_every=settings.marketplace_orders_every.total_seconds(),
        )
    vendure = _vendure(settings, shop_file)
    try:
        yield (
            SqlBooks(engine),
            vendure or BuiltInOrders(engine),
            BuiltInStoredValue(engine),
            gateway,
            labels,
            intercepts,
            marketplace,
        )
    finally:
        if vendure:
            await vendure.aclose()
        if marketplace:
            await marketplace.aclose()
        await intercepts.aclose()
        await gateway.aclose()
        await engine.dispose()


async def _run(settings: WorkerSettings, policy: Policy, shop_file: ShopFile) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    client = await _connect()
    missing = await search_attributes.missing(client)
    if missing:
        _fail(
            EXIT_USAGE,
            f"Namespace {client.namespace} lacks the search attributes {', '.join(missing)}. Create them with:\n  "
            + search_attributes.creating_command(missing, client.namespace),
        )
    await _check_tables(settings.database_url)
    async with _counterparts(settings, shop_file) as (
        books,
        orders,
        stored_value,
        gateway,
        labels,
        intercepts,
        marketplace,
    ):
        mailer = SmtpMailer(
            settings.smtp_host,
            settings.smtp_port,
            settings.mail_sender,
            settings.smtp_username,
            settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            start_tls=settings.smtp_start_tls,
        )
        notices = NoticeDispatcher(books, orders, mailer, settings.mail_sender.rpartition("@")[2])
        deferred = DeferredRequestDispatcher(books, Cancellations(client))
        dispatchers = [asyncio.create_task(notices.run()), asyncio.create_task(deferred.run())]
        worker = make_worker(
            client,
            books=books,
            orders=orders,
            stored_value=stored_value,
            gateway=gateway,
            labels=labels,
            intercepts=intercepts,
            mailer=mailer,
            policy=policy,
            marketplace=marketplace,
            graceful_shutdown_timeout=settings.graceful_shutdown,
            max_cached_workflows=settings.max_cached_workflows,
            sticky_queue_schedule_to_start_timeout=STICKY,
        )
        log = structlog.get_logger()
        log.info("worker_started", task_queue=TASK_QUEUE, namespace=client.namespace, policy=policy.version)
        _tune_garbage_collection()
        saying = asyncio.create_task(log_findings(orders))
        running = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({running, stopping, *dispatchers}, return_when=asyncio.FIRST_COMPLETED)
        for dispatcher in dispatchers:
            if dispatcher.done():
                dispatcher.result()
        if not running.done():
            log.info("worker_draining")
            await worker.shutdown()
        await running
        for task in (saying, *dispatchers):
            await cancel_and_wait(task)
        log.info("worker_stopped")


def _tune_garbage_collection() -> None:
    """What is loaded at the start is never garbage, so it is frozen. Afterwards the collector runs less often than it would,
    because runs leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


@app.command()
def run() -> None:
    """Work until SIGTERM or SIGINT, then drain: running steps end, nothing is lost."""
    try:
        settings = WorkerSettings()
        policy = load_policy(settings.policy_file)
        shop_file = load_shop_file(settings.vendure_file)
    except ValidationError as error:
        _fail(EXIT_USAGE, settings_error(error))
    except ValueError as error:
        _fail(EXIT_USAGE, str(error))
    logs.configure(settings.log_format, settings.log_level)
    uvloop.run(_run(settings, policy, shop_file))


async def _histories(files: Sequence[Path], query: str | None) -> AsyncIterator[WorkflowHistory]:
    for file in files:
        try:
            yield WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            _fail(
                EXIT_USAGE,
                f"{file} is not a workflow history in JSON; export one with `temporal workflow show -o json`.",
            )
    if query is not None:
        client = await _connect()
        async for run in list_runs(client, query):
            yield await client.get_workflow_handle(run.workflow_id, run_id=run.run_id).fetch_history()


def make_replayer(namespace: str) -> Replayer:
    """Histories do not say of which namespace they are, and a run that meets another holder goes by it."""
    return Replayer(workflows=WORKFLOWS, namespace=namespace, plugins=[plugin()], interceptors=[logs.LogContext()])


async def _replay(files: Sequence[Path], query: str | None) -> int:
    replayer = make_replayer(connection().get("namespace", DEFAULT_NAMESPACE))
    failed = total = 0
    async with replayer.workflow_replay_iterator(_histories(files, query)) as results:
        async for result in results:
            total += 1
            if result.replay_failure:
                failed += 1
                typer.echo(f"FAILED {result.history.workflow_id}: {result.replay_failure}")
    typer.echo(f"{total - failed} replayed, {failed} failed")
    return EXIT_FAILED if failed or not total else 0


@app.command()
def replay(
    files: Annotated[list[Path] | None, typer.Argument(help="Histories exported as JSON.")] = None,
    query: Annotated[str | None, typer.Option(help="List filter: replay these runs from the running server.")] = None,
) -> None:
    """Replay histories on today's code; exit 1 when one does not replay. Do this before every deploy."""
    if not files and query is None:
        _fail(EXIT_USAGE, "Name history files, or a --query for runs on the server.")
    logs.configure(logs.LogFormat.CONSOLE, logs.LogLevel.ERROR)
    raise typer.Exit(asyncio.run(_replay(files or [], query)))


def main() -> int:
    """Run the command line; wrong usage is one sentence on standard error."""
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.TyperException as error:
        print(error.format_message(), file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    exit_now(main())
