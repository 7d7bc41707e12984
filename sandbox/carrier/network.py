"""The carrier's truth: parcels, their scans, voids and intercepts, on a clock that can be advanced.

Everything runs on one event loop and no method awaits, so each public method is one atomic step. Each writes in one
transaction, which is committed when it returns.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from sandbox.carrier.model import (
    Effect,
    EffectKind,
    EventKind,
    Fault,
    InterceptState,
    Parcel,
    Rate,
    RefundStatus,
    Scan,
    Script,
    TrackerStatus,
)

VOID_TAKES = timedelta(days=14)
"""EasyPost confirms a void up to 30 days after it was submitted."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 1), ahead REAL NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
CREATE TABLE IF NOT EXISTS parcels (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, reference TEXT, tracking_number TEXT UNIQUE, tracker_id TEXT UNIQUE,
    next_due REAL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS parcels_by_reference ON parcels (reference);
CREATE INDEX IF NOT EXISTS parcels_by_due ON parcels (next_due) WHERE next_due IS NOT NULL;
CREATE TABLE IF NOT EXISTS objects (id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS effects (seq INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (parcel TEXT, operation TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS faults (
    seq INTEGER PRIMARY KEY, document TEXT NOT NULL, after INTEGER NOT NULL, times INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, description TEXT NOT NULL, previous TEXT NOT NULL,
    parcel TEXT NOT NULL, made_at TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, deliveries INTEGER NOT NULL,
    send_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS payloads (seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS payloads_by_event ON payloads (event_id);
"""


class _Event(NamedTuple):
    status: TrackerStatus
    detail: str

    def at(self, moment: datetime) -> Scan:
        return Scan(status=self.status, detail=self.detail, at=moment)


_MADE = _Event(TrackerStatus.PRE_TRANSIT, "label_created")
_MOVING = _Event(TrackerStatus.IN_TRANSIT, "departed_facility")
_OUT = _Event(TrackerStatus.OUT_FOR_DELIVERY, "out_for_delivery")
_ARRIVED = _Event(TrackerStatus.DELIVERED, "arrived_at_destination")
_TURNED = _Event(TrackerStatus.RETURN_TO_SENDER, "return")
_LOST = _Event(TrackerStatus.FAILURE, "lost")

_HISTORY: dict[Script, tuple[_Event, ...]] = {
    Script.LABEL_ONLY: (),
    Script.PAY_ON_USE: (),
    Script.SCANNED_BEFORE_VOID: (),
    Script.OUT_FOR_DELIVERY: (_MOVING, _OUT),
    Script.DELIVERED: (_MOVING, _OUT, _ARRIVED),
    Script.LOST: (_MOVING, _LOST),
}
"""Scans after the label was made; a script that is not listed starts with the parcel in the network."""

_AFTER_INTERCEPT: dict[Script, tuple[_Event, ...]] = {
    Script.INTERCEPT_ACCEPTED_THEN_DELIVERED: (_OUT, _ARRIVED),
    Script.INTERCEPT_SILENT: (),
    Script.INTERCEPT_IS_FINAL: (),
}
"""Scans that follow an accepted intercept; without an entry the parcel is returned."""


class Declined(Exception):
    """The carrier says no to a void, an intercept or its cancellation; the text says why."""


class Network:
    """`scan_seconds` of the sandbox clock pass between an accepted intercept and each scan that follows it."""

    def __init__(self, path: Path, *, scan_seconds: float, announces: bool) -> None:
        self._db = sqlite3.connect(path)
        # Outlives the death of the process, not of the machine.
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        self._db.executescript(_SCHEMA)
        self._scan_interval = timedelta(seconds=scan_seconds)
        self._announces = announces

    def close(self) -> None:
        self._db.close()

    # The clock

    def now(self) -> datetime:
        (ahead,) = self._db.execute("SELECT ahead FROM clock").fetchone()
        return datetime.fromtimestamp(time.time() + ahead, UTC)

    def advance(self, seconds: float) -> datetime:
        with self._db:
            self._db.execute("UPDATE clock SET ahead = ahead + ?", (seconds,))
        self.settle()
        return self.now()

    def settle(self) -> None:
        """Let everything happen that the clock has brought about."""
        with self._db:
            due = self._db.execute(
                "SELECT document FROM parcels WHERE next_due <= ? ORDER BY next_due", (self.now().timestamp(),)
            ).fetchall()
            for (document,) in due:
                self._settle(Parcel.model_validate_json(document))

    def _settle(self, parcel: Parcel) -> None:
        now = self.now()
        while parcel.due and parcel.due[0].at <= now:
            self._scan(parcel, parcel.due.pop(0))
        if parcel.refund_due is not None and parcel.refund_due <= now:
            parcel.refund_status, parcel.refund_due = RefundStatus.REFUNDED, None
            self._effect(EffectKind.VOIDED, parcel, parcel.reference)
            self._announce(EventKind.REFUND_SUCCESSFUL, parcel, {"status": RefundStatus.SUBMITTED})
        self._save(parcel)

    # Parcels

    def find(self, name: str) -> Parcel | None:
        """By shipment id, tracking number, tracker id or reference, in that order; the oldest of a shared reference."""
        row = self._db.execute(
            "SELECT document FROM parcels WHERE ? IN (id, tracking_number, tracker_id, reference)"
            " ORDER BY id = ? DESC, seq LIMIT 1",
            (name, name),
        ).fetchone()
        return Parcel.model_validate_json(row[0]) if row else None

    def create(
        self,
        *,
        script: Script,
        reference: str | None,
        to_address: dict[str, Any],
        from_address: dict[str, Any],
        dimensions: dict[str, Any],
        customs_info: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Parcel:
        now = self.now()
        with self._db:
            parcel = Parcel(
                id=f"shp_{uuid4().hex}",
                reference=reference,
                script=script,
                created_at=now,
                to_address=self._remember("adr", "Address", to_address),
                from_address=self._remember("adr", "Address", from_address),
                dimensions=self._remember("prcl", "Parcel", dimensions),
                customs_info=self._remember("cstinfo", "CustomsInfo", customs_info) if customs_info else None,
                options=options or {},
                rates=[
                    Rate(id=f"rate_{uuid4().hex}", service=service, price=price)
                    for service, price in (("Ground", "9.35"), ("2ndDayAir", "21.10"), ("NextDayAir", "38.75"))
                ],
                updated_at=now,
            )
            self._save(parcel)
        return parcel

    def buy(self, parcel: Parcel, rate: Rate) -> None:
        now = self.now()
        parcel.bought_rate = rate
        parcel.tracker_id = f"trk_{uuid4().hex}"
        parcel.scans = [event.at(now) for event in (_MADE, *_HISTORY.get(parcel.script, (_MOVING,)))]
        with self._db:
            (seq,) = self._db.execute("SELECT seq FROM parcels WHERE id = ?", (parcel.id,)).fetchone()
            parcel.tracking_number = _tracking_number(seq)
            self._effect(EffectKind.LABEL_BOUGHT, parcel, parcel.reference)
            self._save(parcel)

    def void(self, parcel: Parcel) -> None:
        """Raises Declined when it cannot even be asked for."""
        if parcel.tracking_number is None:
            raise Declined("Unable to request refund. The shipment has no label")
        if parcel.refund_status in {RefundStatus.SUBMITTED, RefundStatus.REFUNDED}:
            raise Declined("Unable to request refund. A refund was requested already")
        if parcel.handed_over:
            raise Declined("Unable to request refund. The parcel has been shipped")
        now = self.now()
        with self._db:
            if parcel.script is Script.PAY_ON_USE:
                parcel.refund_status = RefundStatus.NOT_APPLICABLE
            elif parcel.script is Script.SCANNED_BEFORE_VOID:
                parcel.refund_status = RefundStatus.REJECTED
                self._scan(parcel, _MOVING.at(now))
            else:
                parcel.refund_status, parcel.refund_due = RefundStatus.SUBMITTED, now + VOID_TAKES
                self._effect(EffectKind.VOID_SUBMITTED, parcel, parcel.reference)
            self._save(parcel)

    def scan(self, parcel: Parcel, status: TrackerStatus, detail: str, *, ago: timedelta = timedelta()) -> None:
        """A scan that somebody adds, with its time in the past; it is listed last all the same."""
        with self._db:
            self._scan(parcel, Scan(status=status, detail=detail, at=self.now() - ago))
            self._save(parcel)

    # Intercepts

    def may_intercept(self, parcel: Parcel) -> bool:
        """UPS takes an intercept of a parcel that it has and that is not yet on the delivery vehicle."""
        return parcel.status is TrackerStatus.IN_TRANSIT and parcel.intercept is not InterceptState.STANDS

    def intercept(self, parcel: Parcel, transaction: str) -> None:
        """Raises Declined."""
        if not self.may_intercept(parcel) or parcel.script is Script.INTERCEPT_DECLINED:
            raise Declined("Package is not eligible for the requested intercept")
        parcel.intercept = InterceptState.STANDS
        follow = _AFTER_INTERCEPT.get(parcel.script, (_TURNED,))
        parcel.due += [event.at(self.now() + self._scan_interval * nth) for nth, event in enumerate(follow, start=1)]
        with self._db:
            self._effect(EffectKind.INTERCEPT_REQUESTED, parcel, transaction)
            self._save(parcel)

    def cancel_intercept(self, parcel: Parcel, transaction: str) -> None:
        """Raises Declined when none stands, or when the parcel is on its way back already."""
        if parcel.intercept is not InterceptState.STANDS or parcel.script is Script.INTERCEPT_IS_FINAL:
            raise Declined("There is no intercept on this package that can be cancelled")
        parcel.intercept = InterceptState.CANCELLED
        parcel.due = []
        with self._db:
            self._effect(EffectKind.INTERCEPT_CANCELLED, parcel, transaction)
            self._save(parcel)

    # Tokens, calls, faults, effects

    def issue_token(self, lifetime: timedelta) -> str:
        token = secrets.token_urlsafe(24)
        with self._db:
            self._db.execute("INSERT INTO tokens VALUES (?, ?)", (token, (self.now() + lifetime).timestamp()))
        return token

    def knows_token(self, token: str) -> bool:
        row = self._db.execute("SELECT expires FROM tokens WHERE token = ?", (token,)).fetchone()
        return row is not None and row[0] > self.now().timestamp()

    def count_call(self, operation: str, name: str | None) -> None:
        parcel = self.find(name) if name else None
        with self._db:
            self._db.execute("INSERT INTO calls VALUES (?, ?)", (parcel.id if parcel else name, operation))

    def calls(self, parcel: str | None = None) -> dict[str, int]:
        """How often each operation was called, of one parcel or of all."""
        rows = self._db.execute(
            "SELECT operation, count(*) FROM calls WHERE ? IS NULL OR parcel = ? GROUP BY operation", (parcel, parcel)
        )
        return dict(rows.fetchall())

    def add_fault(self, fault: Fault) -> None:
        with self._db:
            self._db.execute(
                "INSERT INTO faults (document, after, times) VALUES (?, ?, ?)",
                (fault.model_dump_json(), fault.after, fault.times),
            )

    def clear_faults(self, parcel: str | None = None) -> None:
        with self._db:
            self._db.execute(
                "DELETE FROM faults WHERE ? IS NULL OR json_extract(document, '$.parcel') = ?", (parcel, parcel)
            )

    def take_fault(self, operation: str, name: str | None) -> Fault | None:
        """The oldest fault that is due for this operation and parcel; it is used up by one."""
        for seq, document, after in self._db.execute(
            "SELECT seq, document, after FROM faults WHERE times > 0 ORDER BY seq"
        ).fetchall():
            fault = Fault.model_validate_json(document)
            if fault.operation != operation:
                continue
            if fault.parcel is not None:
                parcel = self.find(name) if name else None
                if fault.parcel not in ({parcel.id, parcel.reference} if parcel else {name}):
                    continue
            with self._db:
                if after:
                    self._db.execute("UPDATE faults SET after = after - 1 WHERE seq = ?", (seq,))
                    continue
                self._db.execute("UPDATE faults SET times = times - 1 WHERE seq = ?", (seq,))
            return fault
        return None

    def faults_left(self, parcel: str) -> int:
        """How many times faults will still meet calls about this parcel."""
        row = self._db.execute(
            "SELECT coalesce(sum(times), 0) FROM faults WHERE json_extract(document, '$.parcel') = ?", (parcel,)
        ).fetchone()
        return int(row[0])

    def effects(self) -> list[Effect]:
        rows = self._db.execute("SELECT document FROM effects ORDER BY seq").fetchall()
        return [Effect.model_validate_json(document) for (document,) in rows]

    @contextmanager
    def outbox(self) -> Iterator[sqlite3.Connection]:
        """The tables of events and of the attempts to deliver them, for webhooks.py and easypost.py; one transaction."""
        with self._db:
            yield self._db

    # What the steps above are made of; none commits

    def _scan(self, parcel: Parcel, scan: Scan) -> None:
        previous = parcel.status
        parcel.scans.append(Scan(status=scan.status, detail=scan.detail, at=scan.at))
        if parcel.refund_status is RefundStatus.SUBMITTED and parcel.handed_over:
            parcel.refund_status, parcel.refund_due = RefundStatus.REJECTED, None
        if scan.status is TrackerStatus.RETURN_TO_SENDER and parcel.intercept is InterceptState.STANDS:
            parcel.intercept = InterceptState.EXECUTED
        self._announce(EventKind.TRACKER_UPDATED, parcel, {"status": previous})

    def _save(self, parcel: Parcel) -> None:
        parcel.updated_at = self.now()
        moments = [due.at for due in parcel.due] + ([parcel.refund_due] if parcel.refund_due else [])
        self._db.execute(
            "INSERT INTO parcels (id, reference, tracking_number, tracker_id, next_due, document)"
            " VALUES (:id, :reference, :tracking_number, :tracker_id, :next_due, :document)"
            " ON CONFLICT (id) DO UPDATE SET tracking_number = :tracking_number, tracker_id = :tracker_id,"
            " next_due = :next_due, document = :document",
            {
                "id": parcel.id,
                "reference": parcel.reference,
                "tracking_number": parcel.tracking_number,
                "tracker_id": parcel.tracker_id,
                "next_due": min(moments).timestamp() if moments else None,
                "document": parcel.model_dump_json(),
            },
        )

    def _remember(self, prefix: str, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        """An address or the like, given in full or by the id of one that was given before. Raises Declined."""
        if (known := given.get("id")) is not None:
            row = self._db.execute("SELECT document FROM objects WHERE id = ?", (known,)).fetchone()
            if row is None:
                raise Declined(f"There is no {kind} {known}")
            return dict(json.loads(row[0]))
        made = {**given, "id": f"{prefix}_{uuid4().hex}", "object": kind, "mode": "test"}
        self._db.execute("INSERT INTO objects VALUES (?, ?)", (made["id"], json.dumps(made)))
        return made

    def _effect(self, kind: EffectKind, parcel: Parcel, key: str | None) -> None:
        effect = Effect(
            kind=kind,
            object=parcel.id,
            key=key,
            address=parcel.to_address["id"],
            at=self.now(),
            really_at=time.time(),
        )
        self._db.execute("INSERT INTO effects (document) VALUES (?)", (effect.model_dump_json(),))

    def _announce(self, kind: EventKind, parcel: Parcel, previous: dict[str, str]) -> None:
        """Make an event, and with a webhook put it in the outbox. On purpose every second one is held back so long that its
        successor overtakes it, and every third one is delivered twice: a receiver must live with both."""
        (events,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        deliveries = 2 if events % 3 == 0 else 1
        self._db.execute(
            "INSERT INTO events (event_id, description, previous, parcel, made_at, deliveries, send_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                f"evt_{uuid4().hex}",
                kind,
                json.dumps(previous),
                parcel.model_dump_json(),
                self.now().isoformat(),
                deliveries if self._announces else 0,
                time.time() + (0.5 if events % 2 == 0 else 0),
            ),
        )


def _tracking_number(seq: int) -> str:
    """A 1Z number: shipper, service (03 is Ground), package number, check digit."""
    body = f"C4N5L1{3:02}{seq:07}"
    values = [int(char) if char.isdigit() else (ord(char) - 63) % 10 for char in body]
    check = -(sum(values[0::2]) + 2 * sum(values[1::2])) % 10
    return f"1Z{body}{check}"
