"""The network between an adapter and the shop: it can be cut, and an answer can be lost on its way back."""

import asyncio
from asyncio import StreamReader, StreamWriter
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65536


class CuttableProxy:
    """Passes on what it gets to `upstream`, from an address of its own (`url`), which stays the same when it is cut.
    `connections_refused` counts those for which nothing answered at `upstream`."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self.requests_lost: list[str] = []
        self.connections_refused = 0
        self._server: asyncio.Server | None = None
        self._reachable = True
        self._losing: str | None = None
        self._open: set[StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._cut_connections()
        await self._server.wait_closed()

    def set_reachable(self, *, reachable: bool) -> None:
        """False: all connections break off, new ones too."""
        self._reachable = reachable
        if not reachable:
            self._cut_connections()

    def lose_answer(self, to: str) -> None:
        """Break off the next connection on which a request with this text was answered: it was carried out, and the answer
        reaches nobody. `requests_lost` has the text afterwards."""
        self._losing = to

    def _cut_connections(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if not self._reachable:
            writer.transport.abort()
            return
        address = urlsplit(self.upstream)
        try:
            up_reader, up_writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            self.connections_refused += 1
            writer.transport.abort()
            return
        connection = _Connection(self, reader, writer, up_reader, up_writer)
        self._open |= {writer, up_writer}
        try:
            await connection.pass_on()
        finally:
            self._open -= {writer, up_writer}

    def take_loss(self, request: bytes) -> bool:
        """Whether the answer to this request is to be lost. Only the first is."""
        if self._losing is None or self._losing.encode() not in request:
            return False
        self.requests_lost.append(self._losing)
        self._losing = None
        return True


class _Connection:
    """One connection of the adapter, and ours to the shop for it."""

    def __init__(
        self,
        proxy: CuttableProxy,
        reader: StreamReader,
        writer: StreamWriter,
        up_reader: StreamReader,
        up_writer: StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._shop = (up_reader, up_writer)
        self._loses_answer = False

    async def pass_on(self) -> None:
        """Pass on bytes both ways, until either side ends the connection."""
        ways = {asyncio.ensure_future(self._pass_requests()), asyncio.ensure_future(self._pass_answers())}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for _, writer in (self._client, self._shop):
                writer.transport.abort()

    async def _pass_requests(self) -> None:
        sent = b""
        while chunk := await self._client[0].read(_CHUNK):
            sent = sent[-_CHUNK:] + chunk
            self._loses_answer = self._loses_answer or self._proxy.take_loss(sent)
            if self._loses_answer:
                sent = b""
            self._shop[1].write(chunk)
            await self._shop[1].drain()

    async def _pass_answers(self) -> None:
        while chunk := await self._shop[0].read(_CHUNK):
            if self._loses_answer:
                return
            self._client[1].write(chunk)
            await self._client[1].drain()
