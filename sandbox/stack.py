"""Everything that a cancellation meets, on one machine: a process each for Temporal, the stand-ins, the real worker and,
when it stays, the real API."""

import asyncio
import fcntl
import re
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from temporalio.client import Client
from temporalio.service import RPCError

from providers.database.migrate import migrate
from runtime import search_attributes
from runtime.api_keys import sandbox_keys_file
from runtime.plugin import plugin
from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_ID, UPS_CLIENT_SECRET, WEBHOOK_SECRET
from sandbox.carrier_admin import carrier_process
from sandbox.gateway.webhooks import SECRET
from sandbox.gateway_admin import SANDBOX_KEY
from sandbox.mailbox import mailbox_process
from sandbox.marketplace.model import MARKETPLACE_KEY
from sandbox.marketplace_admin import marketplace_process
from sandbox.serving import ROOT, Process
from sandbox.vendure.process import VendureProcess
from sandbox.vendure.shop import CANCELLATIONS_USERNAME, PASSWORD

USUAL_PORT, USUAL_UI_PORT, USUAL_API_PORT = 7233, 8233, 8000
_PATIENCE = 60  # seconds for a process to become ready
_STARTS = 3  # of Temporal, when it ends at once

# A process of the sandbox runs Python; this line of it becomes another program, under the same process id.
_BECOME = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


class StackError(Exception):
    """Why the processes could not be started, in one sentence."""


class Stack:
    """The running processes. Their data and logs are in `folder`. With a port for the API it runs too, and the stand-ins
    send it their events. `measured`: Temporal's data are in memory, and the merchant's rules are those of policy.toml; else
    a demo has clocks of seconds. `over_vendure`: orders are in a shop on Vendure, with our plugin and its own dashboard."""

    def __init__(
        self,
        folder: Path,
        port: int,
        ui_port: int,
        api_port: int | None,
        *,
        measured: bool = False,
        over_vendure: bool = False,
    ) -> None:
        self.folder = folder
        self._measured = measured
        self._ui_port = ui_port
        self._use_port(port)
        self.database_url = f"sqlite:///{folder / 'cancellations.sqlite'}"
        self.mails = folder / "mail"
        gateway = ["-m", "sandbox.gateway", "--data", str(folder / "gateway.sqlite"), "--settle-seconds", "4"]
        self.marketplace = marketplace_process(folder)
        webhooks = f"http://127.0.0.1:{api_port}/webhooks" if api_port else None
        if webhooks:
            gateway += ["--webhook-url", f"{webhooks}/stripe"]
        self.gateway = Process("gateway", gateway, folder / "gateway.log", env={"STRIPE_WEBHOOK_SECRET": SECRET})
        self.carrier = carrier_process(folder, scan_seconds=2, webhook_url=webhooks and f"{webhooks}/easypost")
        self.mailbox = mailbox_process(self.mails)
        self.vendure = VendureProcess(folder / "vendure", plugin=True, dashboard=True) if over_vendure else None
        self.mail_pages = Process(
            "mail pages", ["-m", "sandbox.mail_pages", "--data", str(self.mails)], folder / "mail_pages.log"
        )
        self.worker = Process("worker", ["worker.py", "run"], folder / "worker.log", announces=False)
        self._policy = ROOT / "policy.toml" if measured else _policy_of_demo(folder)
        self._api_port = api_port
        self._keys = folder / "api_keys.toml"
        self.api = Process("API", ["api.py"], folder / "api.log", event="api_started")

    def _use_port(self, port: int) -> None:
        """For Temporal, and a free one for what its UI asks."""
        _, behind, _ = _free_ports()
        self.address = f"127.0.0.1:{port}"
        temporal = ["-c", _BECOME, *_start_dev(None if self._measured else self.folder, port, behind)]
        self.temporal = Process("Temporal", temporal, self.folder / "temporal.log", announces=False)
        ui = ["-m", "sandbox.temporal_ui", "--upstream", f"http://127.0.0.1:{behind}", "--port", str(self._ui_port)]
        self.ui = Process("Temporal UI", ui, self.folder / "ui.log")

    @property
    def exports(self) -> tuple[str, ...]:
        """What has to be pasted into a shell before the commands of the documents, which name the usual ports."""
        lines = {
            f"export TEMPORAL_ADDRESS={self.address}": self.address.endswith(f":{USUAL_PORT}"),
            f"export API_URL=http://127.0.0.1:{self._api_port}": self._api_port in {None, USUAL_API_PORT},
        }
        return tuple(line for line, is_usual in lines.items() if not is_usual)

    async def start(self) -> Client:
        """Start everything but the worker; returns a client of Temporal. Raises StackError."""
        if self.vendure:
            try:
                self.vendure.check_installed()
            except RuntimeError as error:
                raise StackError(str(error)) from None
        others = [self.gateway, self.carrier, self.marketplace, self.mailbox, *([self.vendure] if self.vendure else [])]
        self.temporal.start()
        await self._start_all(others, migrate(self.database_url))
        client = await self._connect_to_new()
        if self._api_port:
            await self._start_for_people(self._api_port)
        return client

    async def _start_for_people(self, port: int) -> None:
        """The API, the Temporal UI and the mails."""
        self._keys.write_text(sandbox_keys_file(), encoding="utf-8")
        self.api.env = {
            **self._providers(),
            "API_HOST": "127.0.0.1",
            "API_PORT": str(port),
            "API_KEYS_FILE": str(self._keys),
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "EASYPOST_WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "LOG_FORMAT": "json",
        }
        await self._start_all((self.api, self.ui, self.mail_pages))

    async def _start_all(self, processes: Sequence[Process], beside: Awaitable[None] | None = None) -> None:
        """At once, and something else beside it. Raises StackError."""
        starting = [asyncio.get_running_loop().run_in_executor(None, process.start) for process in processes]
        try:
            if beside is not None:
                await beside
        finally:
            await _wait_for_all(starting)  # also when we are to stop: what is being started could not be stopped yet
        for process, started in zip(processes, starting, strict=True):
            if started.exception():
                raise _did_not_start(process)

    def _providers(self) -> dict[str, str]:
        """What worker and API are given alike."""
        return {
            "TEMPORAL_ADDRESS": self.address,
            "DATABASE_URL": self.database_url,
            "STRIPE_API_KEY": SANDBOX_KEY,
            "STRIPE_BASE_URL": self.gateway.url,
            "EASYPOST_API_KEY": EASYPOST_KEY,
            "EASYPOST_BASE_URL": f"{self.carrier.url}/v2",
            "POLICY_FILE": str(self._policy),
        }

    def _merchants_orders(self) -> dict[str, str]:
        if self.vendure is None:
            return {}
        return {
            "VENDURE_URL": f"{self.vendure.url}/admin-api",
            "VENDURE_USERNAME": CANCELLATIONS_USERNAME,
            "VENDURE_PASSWORD": PASSWORD,
        }

    async def start_worker(self) -> None:
        """Start the worker, or start it again, and wait until it works. Raises StackError."""
        await self.start_as_worker(self.worker)

    async def start_as_worker(self, process: Process) -> None:
        """Start a process with the worker's settings, and wait until its log says that it works. Whoever names another one
        than `worker` stops it. Raises StackError."""
        mail = urlsplit(self.mailbox.url)
        process.env = {
            **self._providers(),
            "UPS_CLIENT_ID": UPS_CLIENT_ID,
            "UPS_CLIENT_SECRET": UPS_CLIENT_SECRET,
            "UPS_BASE_URL": self.carrier.url,
            "UPS_TOKEN_URL": f"{self.carrier.url}/security/v1/oauth/token",
            "MARKETPLACE_BASE_URL": self.marketplace.url,
            "MARKETPLACE_API_KEY": MARKETPLACE_KEY,
            "MARKETPLACE_ORDERS_EVERY": "1",
            "SMTP_HOST": mail.hostname or "",
            "SMTP_PORT": str(mail.port),
            "LOG_FORMAT": "json",
            "GRACEFUL_SHUTDOWN": "PT5S",
            **self._merchants_orders(),
        }
        before = process.log.stat().st_size if process.log.exists() else 0
        process.start()
        deadline = time.monotonic() + _PATIENCE
        while b'"worker_started"' not in process.log.read_bytes()[before:]:
            if not process.running or time.monotonic() > deadline:
                raise _did_not_start(process)
            await asyncio.sleep(0.05)

    async def _connect_to_new(self) -> Client:
        """A port that was free may be somebody else's by the time that the server asks for it, which it ends by: it is then
        begun again on others."""
        for _ in range(_STARTS - 1):
            try:
                return await self._connect()
            except StackError:
                if self.temporal.running:
                    raise
            self._use_port(_free_ports()[0])
            self.temporal.start()
        return await self._connect()

    async def _connect(self) -> Client:
        deadline = time.monotonic() + _PATIENCE
        while self.temporal.running and time.monotonic() < deadline:
            try:
                client = await Client.connect(self.address, plugins=[plugin()])
                if not await search_attributes.missing(client):
                    return client
            except (RPCError, RuntimeError):
                pass
            await asyncio.sleep(0.1)
        raise _did_not_start(self.temporal)

    def stop(self) -> None:
        """The worker first, so that it ends its steps; Temporal last."""
        for process in (
            self.worker,
            self.api,
            self.ui,
            self.mail_pages,
            self.vendure,
            self.mailbox,
            self.marketplace,
            self.carrier,
            self.gateway,
            self.temporal,
        ):
            if process is not None:
                process.stop()


@asynccontextmanager
async def new_stack(
    folder: Path, *, stay: bool = False, measured: bool = False, over_vendure: bool = False
) -> AsyncIterator[Stack]:
    """A stack on an empty `folder`, all of it stopped in the end. `stay`: for people, with the API, and Temporal and the API
    where everybody looks for them, when nothing else is there. `measured`, `over_vendure`: see `Stack`. Raises
    StackError."""
    port, ui_port, free = _free_ports()
    api_port = None
    if stay:
        api_port = USUAL_API_PORT if _is_free(USUAL_API_PORT) else free
        if _is_free(USUAL_PORT) and _is_free(USUAL_UI_PORT):
            port, ui_port = USUAL_PORT, USUAL_UI_PORT
    with _claim_folder(folder):
        stack = Stack(folder, port, ui_port, api_port, measured=measured, over_vendure=over_vendure)
        try:
            yield stack
        finally:
            stack.stop()


def _policy_of_demo(folder: Path) -> Path:
    """The merchant's rules with some clocks in seconds, so that nobody has to wait for a demo."""
    text = (ROOT / "policy.toml").read_text(encoding="utf-8")
    for name, value in (
        ("version", "sample-shop"),
        ("carrier_poll", "PT1S"),
        ("settlement_poll", "PT1S"),
        ("next_round", "PT5S"),
    ):
        text, found = re.subn(rf'^{name} = ".*"$', f'{name} = "{value}"', text, flags=re.MULTILINE)
        assert found == 1, f"policy.toml has {name} {found} times"
    file = folder / "policy.toml"
    file.write_text(text, encoding="utf-8")
    return file


def _start_dev(folder: Path | None, port: int, ui_port: int) -> list[str]:
    """The server's command line. Without a folder it keeps its data in memory."""
    binary = Path(sys.executable).with_name("temporal")
    if not binary.exists():
        raise StackError(f"{binary} is missing; `make` installs it.")
    options = ["--ip", "127.0.0.1", "--port", str(port), "--ui-port", str(ui_port), "--log-level", "error"]
    if folder is not None:
        # Without waiting for the disk: the file has to survive a crash of a process, not of the machine.
        options += ["--db-filename", str(folder / "temporal.sqlite"), "--sqlite-pragma", "synchronous=OFF"]
    for key in search_attributes.ALL:
        options += ["--search-attribute", f"{key.name}={search_attributes.type_name(key)}"]
    # Tasks are handed over at once instead of up to 50 ms later, and a run whose code is stuck is marked after 14 s.
    for setting in (
        "history.transferProcessorMaxPollRPS=1000",
        "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2",
    ):
        options += ["--dynamic-config-value", setting]
    return [str(binary), "server", "start-dev", *options]


def _claim_folder(folder: Path) -> IO[str]:
    """Empty the folder, and keep others out of it for as long as the file that is returned is open."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "in_use.lock"
    if not lock.exists() and any(folder.iterdir()):
        raise StackError(f"{folder} holds something else than an earlier demo; name an empty folder.")
    held = lock.open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise StackError(f"Another `make up` or `make demo` is running in {folder}; stop it first.") from None
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry != lock:
            entry.unlink()
    return held


async def _wait_for_all(starting: "list[asyncio.Future[Process]]") -> None:
    """Wait for all of them, however each ends; a cancel request takes effect afterwards."""
    cancelled = False
    while any(not process.done() for process in starting):
        try:
            await asyncio.wait(starting)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _did_not_start(process: Process) -> StackError:
    return StackError(f"The {process.name} did not start; {process.log} says why.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports() -> tuple[int, int, int]:
    with socket.socket() as first, socket.socket() as other, socket.socket() as third:
        for probe in (first, other, third):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], other.getsockname()[1], third.getsockname()[1]
