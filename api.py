"""The HTTP API for programs in other languages, and the address of the providers' webhooks.

    python api.py                             settings by environment, see runtime/api_settings.py

Its log, on standard error, says `api_started` with its address once requests are answered. SIGTERM lets the requests in
flight end. Temporal need not be there when it starts: until it is, `/ready` says no and requests are asked to come again.

Requests carry a key as `Authorization: Bearer KEY`; runtime/api_keys.py reads the file of them. The key says who acts: a
service for the customer that it names (or by itself, for what a machine decides), anybody else in their own name. TLS, rate
limits and the public address belong to the proxy in front.

The endpoints are in web/cancellations.py, web/reading.py and web/webhooks.py, what is not a success in web/problems.py, and
what never came of the providers' events in web/reconciler.py.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError

from domain.errors import Unavailable
from domain.policy import Policy
from providers.books.cancellations import SqlRegister
from providers.books.inbox import SqlInbox
from providers.database.engine import open_engine
from providers.database.migrate import WrongTables, check_tables
from runtime import logs
from runtime.api_keys import KeyFile
from runtime.api_settings import ApiSettings
from runtime.connection import connection
from runtime.policy_file import load_policy
from runtime.settings import settings_error
from runtime.shutdown import cancel_and_wait, exit_now
from web.app import create_app
from web.parts import Parts, Temporal
from web.reconciler import Reconciler, sources
from web.webhooks import EventDispatcher

EXIT_USAGE = 2


class Server(uvicorn.Server):
    """Announces its address, and leaves the signals to us: uvicorn would end the process by the signal once more."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        assert sockets
        host, port = sockets[0].getsockname()[:2]
        structlog.get_logger().info("api_started", url=f"http://{host}:{port}")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _opened(settings: ApiSettings, keys: KeyFile, policy: Policy) -> AsyncIterator[Parts]:
    """Raises WrongTables."""
    engine = open_engine(settings.database_url)
    try:
        try:
            await check_tables(engine)
        except Unavailable:
            structlog.get_logger().warning("database_unavailable")  # /ready says so as long as it is
        yield Parts(settings, Temporal(), SqlInbox(engine), SqlRegister(engine), keys, policy, asyncio.Event())
    finally:
        await engine.dispose()


async def _serve(settings: ApiSettings, keys: KeyFile, policy: Policy, listening: socket.socket) -> None:
    """Raises WrongTables."""
    async with _opened(settings, keys, policy) as parts, contextlib.AsyncExitStack() as leaving:
        server = Server(
            uvicorn.Config(
                create_app(parts),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=int(settings.graceful_shutdown.total_seconds()),
            )
        )

        def stop() -> None:
            server.should_exit = True

        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop)
        tasks = [EventDispatcher(parts).run()]
        for source in sources(settings):
            leaving.push_async_callback(source.aclose)
            tasks.append(Reconciler(parts, source).run())
        for run in tasks:
            task = asyncio.create_task(run)
            task.add_done_callback(lambda _: stop())  # it never ends by itself: a fault in it is not to pass unseen
            leaving.push_async_callback(cancel_and_wait, task)
        await server.serve(sockets=[listening])
        await leaving.aclose()
        structlog.get_logger().info("api_stopped")


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = ApiSettings()
        keys = KeyFile(settings.api_keys_file, sandbox=settings.is_sandbox)
        policy = load_policy(settings.policy_file)
    except ValueError as error:
        print(settings_error(error) if isinstance(error, ValidationError) else error, file=sys.stderr)
        return EXIT_USAGE
    try:
        open_engine(settings.database_url)
        connection()
        # asyncio switches Nagle's algorithm off only where the protocol is named; with it on, each answer takes 40 ms.
        listening = socket.socket(proto=socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.api_host, settings.api_port))
    except ArgumentError:
        print(
            "DATABASE_URL is not the address of a database; write it as postgresql://… or sqlite:///…", file=sys.stderr
        )
        return EXIT_USAGE
    except OSError as error:
        print(
            f"{settings.api_host}:{settings.api_port} cannot be listened on ({error.strerror}); set API_HOST and API_PORT.",
            file=sys.stderr,
        )
        return EXIT_USAGE
    except (RuntimeError, ValueError):
        print(
            "Temporal's connection settings cannot be read; look at TEMPORAL_CONFIG_FILE and the other TEMPORAL_ variables.",
            file=sys.stderr,
        )
        return EXIT_USAGE
    logs.configure(settings.log_format, settings.log_level)
    try:
        asyncio.run(_serve(settings, keys, policy, listening))
    except WrongTables as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    exit_now(main())
