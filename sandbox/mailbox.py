"""The mail stand-in: a real SMTP server that keeps every mail it takes as a file.

`python -m sandbox.mailbox --port 0 --data DIR`. A recipient `mailbox-full@…` is put off with 452, `unknown@…` refused with
550, also as `unknown+more@…`, and one without a name or a domain with 553; like many servers it takes no address outside
ASCII. A mail that was sent twice is there twice: the reader knows it by its Message-ID.
"""

import argparse
import asyncio
import json
import os
import signal
import time
from email import message_from_bytes, policy
from itertools import count
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import BaseModel

from sandbox.serving import Process

_REFUSALS = {"mailbox-full": "452 4.2.2 Mailbox full", "unknown": "550 5.1.1 No such user here"}


class ReceivedMail(BaseModel):
    message_id: str
    sender: str
    to: str
    subject: str
    body: str


def read_mails(folder: Path) -> list[ReceivedMail]:
    """Every mail that was taken, oldest first."""
    return [_read(file) for file in sorted(folder.glob("*.eml"))]


def mailbox_process(folder: Path, *, port: int = 0) -> Process:
    """The process, not started yet; its mails are found in `folder`. Its url is `smtp://host:port`."""
    argv = ["-m", "sandbox.mailbox", "--port", str(port), "--data", str(folder)]
    return Process("mailbox", argv, folder / "mailbox.log")


def _read(file: Path) -> ReceivedMail:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    body = message.get_body(("plain",))
    return ReceivedMail(
        message_id=message["Message-ID"] or "",
        sender=message["From"] or "",
        to=message["To"] or "",
        subject=message["Subject"] or "",
        body=body.get_content().replace("\r\n", "\n") if body else "",
    )


class _Keeper:
    """Handler of aiosmtpd, which finds these methods by their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = count()

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refusal = _REFUSALS.get(address.partition("@")[0].partition("+")[0])
        if refusal is not None:
            return refusal
        if not all(address.rpartition("@")):
            return "553 5.1.3 Not an address"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        file = self._folder / f"{time.time_ns()}-{next(self._count):06}.eml"
        unfinished = file.with_suffix(".part")
        with unfinished.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(file)
        return "250 OK"


async def _serve(host: str, port: int, folder: Path) -> None:
    keeper = _Keeper(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(keeper), host, port)
    stopped = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopped.set)
    print(json.dumps({"url": f"smtp://{host}:{server.sockets[0].getsockname()[1]}"}), flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.mailbox", description="SMTP stand-in that keeps what it takes.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True, help="folder of the mails; made when missing")
    given = parser.parse_args()
    given.data.mkdir(parents=True, exist_ok=True)
    asyncio.run(_serve(given.host, given.port, given.data))


if __name__ == "__main__":
    main()
