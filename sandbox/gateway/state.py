"""The stand-in as a whole: payments, refunds and disputes over one memory, and what time brings."""

from pathlib import Path

from sandbox.gateway.disputes import Disputes
from sandbox.gateway.payments import Payments
from sandbox.gateway.records import Refund
from sandbox.gateway.refunds import Refunds
from sandbox.gateway.rendering import Rendering
from sandbox.gateway.store import Store


class State:
    def __init__(self, path: Path, *, settle_seconds: float, webhooks: bool, seed: int) -> None:
        self.store = Store(path, webhooks=webhooks, seed=seed)
        rendering = Rendering(self.store)
        self.disputes = Disputes(self.store, rendering)
        self.payments = Payments(self.store, rendering, self.disputes)
        self.refunds = Refunds(self.store, rendering, self.disputes, settle_seconds=settle_seconds)

    def settle_due(self) -> None:
        """Let happen what time has brought: refunds settle or fail, authorisations expire."""
        for record in self.store.due():
            if isinstance(record, Refund):
                self.refunds.change(record, record.becomes or "succeeded")
            else:
                self.payments.expire(record)
