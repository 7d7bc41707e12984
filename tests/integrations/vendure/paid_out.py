"""What has gone back, by our own ledger."""

from pathlib import Path

from domain.money import Money
from providers.books.tables import LedgerAccount
from providers.database.engine import open_engine
from sandbox import books


async def paid_out(folder: Path, order_id: str) -> list[tuple[str, Money]]:
    """What has settled at the gateway: each refund's reference and amount. `folder`: of a `make up`."""
    engine = open_engine(f"sqlite:///{folder / 'cancellations.sqlite'}")
    try:
        return [
            (entry.reference, entry.amount)
            for entry in await books.ledger(engine)
            if entry.credit is LedgerAccount.GATEWAY_CLEARING and entry.cancellation_id.startswith(f"can-{order_id}-")
        ]
    finally:
        await engine.dispose()
