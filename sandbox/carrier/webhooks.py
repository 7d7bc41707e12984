"""EasyPost's events, signed and delivered; repeated now and then, sometimes out of order, tried again until accepted."""

import asyncio
import hashlib
import hmac
import json
import time
import unicodedata
from datetime import UTC, datetime

import httpx2

from sandbox.carrier.easypost import refund_json, tracker_json
from sandbox.carrier.model import WEBHOOK_SECRET, Parcel
from sandbox.carrier.network import Network

_TIMEOUT = 7.0
"""Seconds EasyPost waits for the receiver."""
_LONGEST_PAUSE = 30.0


def sign(body: bytes, secret: str) -> str:
    """The value of `X-Hmac-Signature`."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()


def _body(event_id: str, description: str, previous: str, parcel: Parcel) -> bytes:
    now = datetime.now(UTC).isoformat()
    result = refund_json(parcel) if description.startswith("refund.") else tracker_json(parcel)
    event = {
        "id": event_id,
        "object": "Event",
        "mode": "test",
        "description": description,
        "previous_attributes": json.loads(previous),
        "result": result,
        "status": "pending",
        "pending_urls": [],
        "completed_urls": [],
        "created_at": now,
        "updated_at": now,
    }
    return json.dumps(event).encode()


async def _deliver_due(network: Network, client: httpx2.AsyncClient, url: str) -> None:
    with network.outbox() as db:
        due = db.execute(
            "SELECT seq, event_id, description, previous, parcel, attempts FROM outbox"
            " WHERE deliveries > 0 AND send_at <= ? ORDER BY send_at LIMIT 50",
            (time.time(),),
        ).fetchall()
    for seq, event_id, description, previous, document, attempts in due:
        body = _body(event_id, description, previous, Parcel.model_validate_json(document))
        headers = {"Content-Type": "application/json", "X-Hmac-Signature": sign(body, WEBHOOK_SECRET)}
        try:
            accepted = (await client.post(url, content=body, headers=headers)).is_success
        except httpx2.HTTPError:
            accepted = False
        with network.outbox() as db:
            if accepted:
                db.execute("UPDATE outbox SET deliveries = deliveries - 1, attempts = 0 WHERE seq = ?", (seq,))
            else:
                again = time.time() + min(0.2 * 2**attempts, _LONGEST_PAUSE)
                db.execute("UPDATE outbox SET attempts = attempts + 1, send_at = ? WHERE seq = ?", (again, seq))


async def deliver(network: Network, url: str) -> None:
    """Runs until cancelled."""
    async with httpx2.AsyncClient(timeout=_TIMEOUT) as client:
        while True:
            await _deliver_due(network, client, url)
            await asyncio.sleep(0.1)
