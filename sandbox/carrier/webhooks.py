"""EasyPost's events, signed and delivered; repeated now and then, sometimes out of order, tried again until accepted."""

import asyncio
import hashlib
import hmac
import json
import time
import unicodedata
from datetime import UTC, datetime
from uuid import uuid4

import httpx2

from sandbox.carrier.answers import refund_json, seconds, tracker_json
from sandbox.carrier.model import WEBHOOK_SECRET, Parcel
from sandbox.carrier.network import Network

_TIMEOUT = 7.0
"""Seconds EasyPost waits for the receiver."""
_LONGEST_PAUSE = 30.0


def sign(body: bytes, secret: str) -> str:
    """The value of `X-Hmac-Signature`."""
    key = unicodedata.normalize("NFKD", secret).encode()
    return "hmac-sha256-hex=" + hmac.new(key, body, hashlib.sha256).hexdigest()


def _body(event_id: str, description: str, previous: str, parcel: Parcel, made_at: str) -> bytes:
    result = refund_json(parcel) if description.startswith("refund.") else tracker_json(parcel)
    made = seconds(datetime.fromisoformat(made_at))
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
        "created_at": made,
        "updated_at": made,
    }
    return json.dumps(event).encode()


def _payload(url: str, body: bytes, headers: dict[str, str], answer: httpx2.Response | None) -> str:
    """An attempt as EasyPost keeps it, with the body that it sent."""
    now = seconds(datetime.now(UTC))
    payload = {
        "id": f"payload_{uuid4().hex}",
        "object": "Payload",
        "mode": "test",
        "request_url": url,
        "request_headers": headers,
        "request_body": body.decode(),
        "response_code": answer.status_code if answer is not None else 0,
        "response_headers": dict(answer.headers) if answer is not None else {},
        "response_body": answer.text if answer is not None else "",
        "total_time": round(answer.elapsed.total_seconds() * 1000) if answer is not None else 0,
        "created_at": now,
        "updated_at": now,
    }
    return json.dumps(payload)


async def _deliver_due(network: Network, client: httpx2.AsyncClient, url: str) -> None:
    with network.outbox() as db:
        due = db.execute(
            "SELECT seq, event_id, description, previous, parcel, made_at, attempts FROM events"
            " WHERE deliveries > 0 AND send_at <= ? ORDER BY send_at LIMIT 50",
            (time.time(),),
        ).fetchall()
    for seq, event_id, description, previous, document, made_at, attempts in due:
        body = _body(event_id, description, previous, Parcel.model_validate_json(document), made_at)
        headers = {"Content-Type": "application/json", "X-Hmac-Signature": sign(body, WEBHOOK_SECRET)}
        try:
            answer = await client.post(url, content=body, headers=headers)
        except httpx2.HTTPError:
            answer = None
        with network.outbox() as db:
            payload = _payload(url, body, headers, answer)
            db.execute("INSERT INTO payloads (event_id, document) VALUES (?, ?)", (event_id, payload))
            if answer is not None and answer.is_success:
                db.execute("UPDATE events SET deliveries = deliveries - 1, attempts = 0 WHERE seq = ?", (seq,))
            else:
                retry_at = time.time() + min(0.2 * 2**attempts, _LONGEST_PAUSE)
                db.execute("UPDATE events SET attempts = attempts + 1, send_at = ? WHERE seq = ?", (retry_at, seq))


async def deliver(network: Network, url: str) -> None:
    """Runs until cancelled."""
    async with httpx2.AsyncClient(timeout=_TIMEOUT) as client:
        while True:
            await _deliver_due(network, client, url)
            await asyncio.sleep(0.1)
