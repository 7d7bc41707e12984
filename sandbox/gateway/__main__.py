"""`python -m sandbox.gateway --data FILE`: the payment gateway stand-in as a process."""

from pathlib import Path
from typing import Annotated

import typer

from sandbox.gateway.app import create_app
from sandbox.gateway.state import State
from sandbox.gateway.webhooks import SECRET, Webhooks
from sandbox.serving import serve


def main(
    *,
    data: Annotated[Path, typer.Option(help="SQLite file that keeps everything.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free port.")] = 0,
    webhook_url: Annotated[str, typer.Option(help="Where events are sent; none without it.")] = "",
    webhook_secret: Annotated[str, typer.Option(envvar="STRIPE_WEBHOOK_SECRET")] = SECRET,
    settle_seconds: Annotated[float, typer.Option(help="How long a pending refund takes, by the clock.")] = 432_000,
    seed: Annotated[int, typer.Option(help="Chooses which events are repeated and late.")] = 0,
) -> None:
    state = State(data, settle_seconds=settle_seconds, webhooks=bool(webhook_url), seed=seed)
    serve(create_app(state, Webhooks(webhook_url, webhook_secret) if webhook_url else None), host=host, port=port)


typer.run(main)
