"""`python -m sandbox.carrier --port 0 --data FILE.sqlite [--webhook-url URL] [--scan-seconds N]`"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError

from sandbox.carrier import control, easypost, ups, webhooks
from sandbox.carrier.network import Network
from sandbox.serving import serve


async def _keep_settling(network: Network) -> None:
    while True:
        network.settle()
        await asyncio.sleep(0.1)


def make_app(data: Path, *, webhook_url: str | None, scan_seconds: float) -> FastAPI:
    network = Network(data, scan_seconds=scan_seconds, announces=webhook_url is not None)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_keep_settling(network))]
        if webhook_url is not None:
            tasks.append(asyncio.create_task(webhooks.deliver(network, webhook_url)))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        network.close()

    app = FastAPI(title="Carrier stand-in", lifespan=lifespan)
    app.state.network = network
    easypost.install(app)
    ups.install(app)
    app.include_router(control.router)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if request.url.path.startswith("/v2/"):
            message = "Missing or invalid parameter."
            return easypost.answer(easypost.Problem(422, "PARAMETER.INVALID", message))
        if request.url.path.startswith("/sandbox/"):
            return await request_validation_exception_handler(request, error)
        return ups.invalid(request)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="sandbox.carrier", description="EasyPost and UPS Delivery Intercept stand-in."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True, help="SQLite file; made when missing")
    parser.add_argument("--webhook-url", help="where EasyPost's events are posted to")
    parser.add_argument(
        "--scan-seconds", type=float, default=1.0, help="sandbox time from an accepted intercept to each following scan"
    )
    given = parser.parse_args()
    app = make_app(given.data, webhook_url=given.webhook_url, scan_seconds=given.scan_seconds)
    serve(app, host=given.host, port=given.port)


if __name__ == "__main__":
    main()
