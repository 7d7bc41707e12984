"""How the sandbox's processes are run: each on its own port of the loopback interface, found and stopped by its parent."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

ROOT = Path(__file__).resolve().parent.parent

_IDLE_SECONDS = 600


class _Cuttable:
    """Lets a handler really close its socket: hands the connection's transport down in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["sandbox.transport"] = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's request cycle
        await self._app(scope, receive, send)


async def cut(request: Request) -> Response:
    """Returns when uvicorn has seen the end of the connection: what is returned then goes nowhere."""
    request.scope["sandbox.transport"].abort()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()


def serve(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve an ASGI app until SIGTERM. Port 0 takes a free one. The first line of standard output is `{"url": …}`, written
    once requests are answered."""
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it on, each answer takes 40 ms.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    url = f"http://{host}:{listening.getsockname()[1]}"

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            print(json.dumps({"url": url}), flush=True)

    # A client that reuses a connection at the moment when it is closed for being idle gets no answer: on a busy machine
    # that was a refund "whose outcome is unknown" where no fault was ordered.
    config = uvicorn.Config(
        _Cuttable(app), log_level="warning", access_log=False, lifespan="on", timeout_keep_alive=_IDLE_SECONDS
    )
    server = Announcing(config)
    asyncio.run(server.serve(sockets=[listening]))


_ADDRESS = re.compile(rb"""\burl(?:=|":\s*")(http://[^\s"]+)["\s]""")
"""In a line of a log, of either format, that is written to its end."""


@dataclass
class Process:
    """A child process that announced its address. Its output goes to `log`. `event`: it announces it by this event of its
    log; else by its first line of standard output, unless it announces nothing. `program` runs `argv`."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    announces: bool = True
    event: str = ""
    program: str = sys.executable
    url: str = ""
    _child: "subprocess.Popen[str] | None" = None

    def start(self, *, timeout: float = 30) -> "Process":
        """Start it and wait for its announcement. Raises RuntimeError with the end of its log when it dies first."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a") as log:
            self._child = subprocess.Popen(
                [self.program, *self.argv],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.env},
                stdout=subprocess.PIPE if self.announces and not self.event else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        if self.event:
            self.url = self._logged_address(before, timeout)
        elif self.announces:
            assert self._child.stdout is not None
            lines: list[str] = []
            reader = Thread(target=lambda out: lines.append(out.readline()), args=(self._child.stdout,), daemon=True)
            reader.start()
            reader.join(timeout)
            if not lines or not lines[0]:
                raise self._not_started()
            self.url = json.loads(lines[0])["url"]
        return self

    def _logged_address(self, before: int, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        while self.running and time.monotonic() < deadline:
            for text in self.log.read_bytes()[before:].splitlines(keepends=True):
                if self.event.encode() in text and (found := _ADDRESS.search(text)):
                    return found[1].decode()
            time.sleep(0.02)
        raise self._not_started()

    def _not_started(self) -> RuntimeError:
        self.kill()
        return RuntimeError(f"{self.name} did not start; {self.log} ends with:\n{self.log.read_text()[-2000:]}")

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def stop(self, *, timeout: float = 15) -> int:
        """SIGTERM, then wait; SIGKILL after `timeout` seconds. Returns the exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> int:
        return self._end(signal.SIGKILL, 15)

    def _end(self, by: signal.Signals, timeout: float) -> int:
        if self._child is None:
            return 0
        if self._child.poll() is None:
            self._child.send_signal(by)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        return self._child.returncode
