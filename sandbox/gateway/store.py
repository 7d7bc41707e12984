"""The stand-in's memory, in one SQLite file: its clock, its objects, and what was asked, done and said.

Every call of the API is one transaction, committed before it is answered, so that a killed process forgets nothing. Time is
the sandbox clock: real time plus an offset that is kept in the file.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sandbox.gateway.calls import Call, Stored, page_of, whole_number
from sandbox.gateway.errors import ApiError, Json
from sandbox.gateway.messages import Effect, EffectKind, Fault
from sandbox.gateway.records import AnyRecord, Dispute, Event, EventKind, Payment, Record, Refund

KEY_RETENTION = 24 * 3600.0
MOST_TYPES = 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, kind TEXT, owner TEXT, due REAL, doc TEXT);
CREATE INDEX IF NOT EXISTS objects_by_owner ON objects (kind, owner);
CREATE INDEX IF NOT EXISTS objects_by_due ON objects (due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, fingerprint TEXT, status INTEGER, body TEXT, at REAL);
CREATE TABLE IF NOT EXISTS faults (
    seq INTEGER PRIMARY KEY, payment TEXT, operation TEXT, after INTEGER, remaining INTEGER, doc TEXT);
CREATE TABLE IF NOT EXISTS effects (seq INTEGER PRIMARY KEY, payment TEXT, doc TEXT);
CREATE TABLE IF NOT EXISTS calls (payment TEXT, operation TEXT);
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, id TEXT, type TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY, event INTEGER, not_before REAL, attempts INTEGER DEFAULT 0, delivered INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), ahead REAL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""


class Store:
    def __init__(self, path: Path, *, webhooks: bool, seed: int) -> None:
        self._webhooks = webhooks
        self._seed = seed
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- clock ---------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        (ahead,) = self._db.execute("SELECT ahead FROM clock").fetchone()
        return time.time() + float(ahead)

    def advance(self, seconds: float) -> None:
        self._db.execute("UPDATE clock SET ahead = ahead + ?", (seconds,))

    # -- records -------------------------------------------------------------------------------------------------------

    def save(self, record: Record) -> None:
        self._db.execute(
            "INSERT INTO objects (id, kind, owner, due, doc) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, due = excluded.due, doc = excluded.doc",
            (record.id, type(record).__name__, record.owner, record.due, record.model_dump_json()),
        )

    def find(self, kind: type[AnyRecord], record_id: str) -> AnyRecord | None:
        row = self._db.execute(
            "SELECT doc FROM objects WHERE id = ? AND kind = ?", (record_id, kind.__name__)
        ).fetchone()
        return kind.model_validate_json(row[0]) if row else None

    def get(self, kind: type[AnyRecord], record_id: str, param: str) -> AnyRecord:
        found = self.find(kind, record_id)
        if found is None:
            raise ApiError(404, f"No such {param}: '{record_id}'", code="resource_missing", param=param)
        return found

    def owned(self, kind: type[AnyRecord], owner: str) -> list[AnyRecord]:
        rows = self._db.execute(
            "SELECT doc FROM objects WHERE kind = ? AND owner = ? ORDER BY seq DESC", (kind.__name__, owner)
        )
        return [kind.model_validate_json(row[0]) for row in rows]

    def payment_of(self, object_id: str) -> str | None:
        """The payment that an object belongs to; a payment belongs to itself."""
        row = self._db.execute("SELECT kind, owner FROM objects WHERE id = ?", (object_id,)).fetchone()
        if row is None:
            return None
        return object_id if row[0] == Payment.__name__ else row[1]

    def payment_named(self, object_id: str, params: Mapping[str, object]) -> str | None:
        """The payment that a call is about: it names an object of it, or a customer, who made one before."""
        named = object_id or str(params.get("payment_intent", ""))
        if named or "customer" not in params:
            return self.payment_of(named)
        made = self.owned(Payment, str(params["customer"]))
        return made[-1].id if made else None

    def payment_of_charge(self, charge: str) -> Payment | None:
        row = self._db.execute(
            "SELECT doc FROM objects WHERE kind = 'Payment' AND json_extract(doc, '$.charge') = ?", (charge,)
        ).fetchone()
        return Payment.model_validate_json(row[0]) if row else None

    def due(self) -> list[Payment | Refund]:
        """What time changes by now, the longest overdue first."""
        rows = self._db.execute("SELECT kind, doc FROM objects WHERE due <= ? ORDER BY due", (self.now,)).fetchall()
        kinds: dict[str, type[Payment | Refund]] = {Payment.__name__: Payment, Refund.__name__: Refund}
        return [kinds[kind].model_validate_json(doc) for kind, doc in rows]

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{secrets.token_hex(12)}"

    # -- idempotency keys, calls, faults, effects, events ----------------------------------------------------------------

    def stored_answer(self, key: str) -> Stored | None:
        row = self._db.execute(
            "SELECT fingerprint, status, body FROM keys WHERE key = ? AND at > ?", (key, self.now - KEY_RETENTION)
        ).fetchone()
        return Stored(row[0], row[1], json.loads(row[2])) if row else None

    def store_answer(self, key: str, answer: Stored) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
            (key, answer.fingerprint, answer.status, json.dumps(answer.body), self.now),
        )

    def count_call(self, operation: str, payment: str | None) -> None:
        self._db.execute("INSERT INTO calls VALUES (?, ?)", (payment, operation))

    def calls(self, payment: str | None = None) -> dict[str, int]:
        """How often each operation was called, of one payment or of all."""
        rows = self._db.execute(
            "SELECT operation, count(*) FROM calls WHERE ? IS NULL OR payment = ? GROUP BY operation",
            (payment, payment),
        )
        return dict(rows.fetchall())

    def add_fault(self, fault: Fault) -> None:
        self._db.execute(
            "INSERT INTO faults (payment, operation, after, remaining, doc) VALUES (?, ?, ?, ?, ?)",
            (fault.payment_intent, fault.operation, fault.after, fault.times, fault.model_dump_json()),
        )

    def take_fault(self, operation: str, payment: str | None, *, replaying: bool) -> Fault | None:
        """The next fault that meets this call, counted off."""
        rows = self._db.execute(
            "SELECT seq, after, doc FROM faults WHERE operation = ? AND remaining > 0 AND (payment IS NULL OR payment = ?)"
            " ORDER BY seq",
            (operation, payment),
        )
        for seq, after, doc in rows.fetchall():
            if after:
                self._db.execute("UPDATE faults SET after = after - 1 WHERE seq = ?", (seq,))
                continue
            fault = Fault.model_validate_json(doc)
            if fault.fault.on_the_way or not replaying:
                self._db.execute("UPDATE faults SET remaining = remaining - 1 WHERE seq = ?", (seq,))
                return fault
        return None

    def faults_left(self, payment: str) -> int:
        """How many times faults will still meet calls about this payment."""
        row = self._db.execute(
            "SELECT coalesce(sum(remaining), 0) FROM faults WHERE payment = ?", (payment,)
        ).fetchone()
        return int(row[0])

    def effects(self, payment: str | None = None) -> list[Effect]:
        rows = self._db.execute(
            "SELECT seq, doc FROM effects WHERE payment = coalesce(?, payment) ORDER BY seq", (payment,)
        )
        return [Effect.model_validate({"seq": seq, **json.loads(doc)}) for seq, doc in rows]

    def add_effect(self, kind: EffectKind, call: Call | None, record: Payment | Refund | Dispute, amount: int) -> None:
        effect = Effect(
            seq=0,
            kind=kind,
            key=call.key if call else None,
            object_id=record.id,
            payment_id=record.id if isinstance(record, Payment) else record.payment,
            amount=amount,
            currency=record.currency,
            metadata={} if isinstance(record, Dispute) else record.metadata,
            at=self.now,
            really_at=time.time(),
        )
        self._db.execute(
            "INSERT INTO effects (payment, doc) VALUES (?, ?)",
            (effect.payment_id, effect.model_dump_json(exclude={"seq"})),
        )

    def add_event(self, kind: EventKind, subject: Json, key: str | None = None) -> None:
        """Record an event. With webhooks on, every second one is delivered twice and every third one late, so that they
        arrive repeated and out of order; the seed says which."""
        body = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": None,
            "created": int(self.now),
            "data": {"object": subject},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": key},
            "type": kind,
        }
        number = self._db.execute(
            "INSERT INTO events (id, type, body) VALUES (?, ?, ?)", (body["id"], kind, json.dumps(body))
        ).lastrowid
        if not self._webhooks or number is None:
            return
        turn = number + self._seed
        late = 0.3 if turn % 3 == 0 else 0.0
        for delay in (late, 0.2) if turn % 2 == 0 else (late,):
            self._db.execute("INSERT INTO deliveries (event, not_before) VALUES (?, ?)", (number, time.time() + delay))

    def list_events(self, call: Call) -> Json:
        """Whole events, as their webhooks have them."""
        wanted = [*call.params.get("types", {}).values()]
        if len(wanted) > MOST_TYPES:
            raise ApiError(400, f"You may only specify up to {MOST_TYPES} event types.", param="types")
        created = call.params.get("created", {})
        rows = self._db.execute("SELECT body FROM events ORDER BY seq DESC").fetchall()
        bodies = [json.loads(body) for (body,) in rows]
        oldest = whole_number(created, "gte") if created else 0
        events = [
            Event(id=body["id"], created=body["created"], body=body)
            for body in bodies
            if body["created"] >= oldest and (not wanted or body["type"] in wanted)
        ]
        return page_of(call.params, events, lambda event: event.body, "/v1/events")

    def due_deliveries(self) -> list[tuple[int, int, str]]:
        """Delivery, attempts so far, body; oldest due first."""
        return self._db.execute(
            "SELECT d.seq, d.attempts, e.body FROM deliveries d JOIN events e ON e.seq = d.event"
            " WHERE NOT d.delivered AND d.not_before <= ? ORDER BY d.not_before LIMIT 50",
            (time.time(),),
        ).fetchall()

    def delivered(self, delivery: int) -> None:
        self._db.execute("UPDATE deliveries SET delivered = 1 WHERE seq = ?", (delivery,))

    def deliver_later(self, delivery: int, seconds: float) -> None:
        self._db.execute(
            "UPDATE deliveries SET attempts = attempts + 1, not_before = ? WHERE seq = ?",
            (time.time() + seconds, delivery),
        )
