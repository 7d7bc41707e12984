"""`python -m sandbox.marketplace --port 0 --data FILE.sqlite [--orders-every N]`"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError

from sandbox.marketplace import control, mirakl
from sandbox.marketplace.faults import problem
from sandbox.marketplace.ledger import Ledger
from sandbox.serving import serve


def make_app(data: Path, *, orders_every: float) -> FastAPI:
    ledger = Ledger(data)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        ledger.close()

    app = FastAPI(title="Marketplace stand-in", lifespan=lifespan)
    app.state.ledger = ledger
    app.state.pace = mirakl.Pace(orders_every)
    mirakl.install(app)
    app.include_router(control.router)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if request.url.path.startswith("/sandbox/"):
            return await request_validation_exception_handler(request, error)
        return problem(400, "Validation failed")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.marketplace", description="Mirakl seller API stand-in.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True, help="SQLite file; made when missing")
    parser.add_argument(
        "--orders-every", type=float, default=60.0, help="seconds between two calls of the list of orders, at least"
    )
    given = parser.parse_args()
    serve(make_app(given.data, orders_every=given.orders_every), host=given.host, port=given.port)


if __name__ == "__main__":
    main()
