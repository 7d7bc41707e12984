"""Signed events to one address: at least once, some twice, not in order, again until they are accepted."""

import httpx2
import stripe

from sandbox.gateway.store import Store

SECRET = "whsec_sandbox"  # noqa: S105 - it opens nothing but the sandbox
LONGEST_WAIT = 10.0


class Webhooks:
    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._http = httpx2.AsyncClient(timeout=5)

    async def deliver_due(self, store: Store) -> None:
        for delivery, attempts, body in store.due_deliveries():
            if await self._deliver(body):
                store.delivered(delivery)
            else:
                store.deliver_later(delivery, min(0.1 * 2**attempts, LONGEST_WAIT))

    async def _deliver(self, body: str) -> bool:
        signature = stripe.WebhookSignature.generate_signature_header(body, self._secret)
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
        try:
            return (await self._http.post(self._url, content=body, headers=headers)).is_success
        except httpx2.HTTPError:
            return False

    async def aclose(self) -> None:
        await self._http.aclose()
