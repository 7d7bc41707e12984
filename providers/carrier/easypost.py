"""Labels and tracking at EasyPost, on its official SDK."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar

from easypost.constant import API_BASE, API_VERSION
from easypost.easypost_client import EasyPostClient
from easypost.easypost_object import EasyPostObject
from easypost.errors.api.api_error import ApiError
from easypost.errors.general.easypost_error import EasyPostError
from easypost.errors.general.filtering_error import FilteringError
from requests.adapters import HTTPAdapter

from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.examination import Counterpart
from domain.scans import Scan, latest_meaning
from domain.shipment import GoodsGroup, LabelStatus, Tracking
from providers.breaker import Breaker
from providers.carrier.port import NewLabel

Result = TypeVar("Result")

_REFUND_UNAVAILABLE = "SHIPMENT.REFUND.UNAVAILABLE"
_POSTAGE_EXISTS = "SHIPMENT.POSTAGE.EXISTS"

_MOVED = {"in_transit", "out_for_delivery", "available_for_pickup", "delivered", "return_to_sender", "failure"}

_GROUPS = {
    "pre_transit": GoodsGroup.NOT_HANDED_OVER,
    "cancelled": GoodsGroup.NOT_HANDED_OVER,
    "in_transit": GoodsGroup.IN_NETWORK,
    "out_for_delivery": GoodsGroup.LAST_MILE,
    "available_for_pickup": GoodsGroup.LAST_MILE,
    "delivered": GoodsGroup.DELIVERED,
    "return_to_sender": GoodsGroup.COMING_BACK,
}

_LABELS = {
    "submitted": LabelStatus.VOID_SUBMITTED,
    "refunded": LabelStatus.VOIDED,
    "rejected": LabelStatus.VOID_REJECTED,
}

_retry_after: ContextVar[float | None] = ContextVar("retry_after", default=None)


def reference_for(key: str) -> str:
    """The EasyPost reference under which a label that was bought under `key` is found again. Keys contain slashes, and a
    reference is used as part of a path."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


class EasyPostLabels:
    """`Labels` at EasyPost. `base_url` includes the version (`https://api.easypost.com/v2`); `timeout` is in seconds.

    EasyPost has no idempotency keys: every effect is looked up before it is asked for. Nothing is retried here, because
    the process decides when to ask again.
    """

    def __init__(self, api_key: str, base_url: str | None = None, timeout: float = 10.0) -> None:
        self.breaker = Breaker(Counterpart.LABELS, "EasyPost")
        api_base = base_url or f"{API_BASE}/{API_VERSION}"
        # The SDK says whole seconds, but only hands the number on to requests, which takes fractions.
        self._client = EasyPostClient(api_key, api_base=api_base, timeout=timeout)  # type: ignore[arg-type]
        # The SDK's own adapter repeats reads, and connections of any call, up to three times, each with a full timeout.
        # Mounted on the longer prefix, this one goes before it.
        self._client._requests_session.mount(api_base, HTTPAdapter(max_retries=0))
        self._client.subscribe_to_response_hook(_remember_retry_after)  # type: ignore[no-untyped-call]

    async def track(self, label_reference: str) -> Tracking:
        shipment = await self._read(label_reference)
        tracker = shipment.get("tracker")
        if tracker is None:
            return Tracking(group=GoodsGroup.NOT_HANDED_OVER, label=_label_status(shipment))
        return _tracking(shipment, tracker)

    async def void(self, label_reference: str) -> LabelStatus:
        before = _label_status(await self._read(label_reference))
        if before is not LabelStatus.ACTIVE:
            return before
        try:
            shipment = await self._call(
                lambda: self._client.shipment.refund(label_reference),
                f"voiding label {label_reference}",
                writes=True,
                refusal=ErrorCode.SHIPMENT_NOT_STOPPABLE,
            )
        except _Rejected as rejected:
            if rejected.code_at_easypost != _REFUND_UNAVAILABLE:
                raise
            # Said of a parcel that has been shipped, but also of a void that someone else asked for meanwhile.
            after = _label_status(await self._read(label_reference))
            return LabelStatus.VOID_REJECTED if after is LabelStatus.ACTIVE else after
        return _label_status(shipment)

    async def buy_again(self, label_reference: str, *, key: str) -> NewLabel:
        reference = reference_for(key)
        new = await self._find(reference)
        if new is None or new.get("tracking_code") is None:
            old = await self._read(label_reference, refusal=ErrorCode.STOP_NOT_UNDOABLE)
            if new is None:
                new = await self._copy(old, reference)
            new = await self._buy(new, old)
        return NewLabel(label_reference=new.id, tracking_number=new.tracking_code)

    async def _copy(self, old: EasyPostObject, reference: str) -> EasyPostObject:
        """A shipment like the old one, without a label yet. Addresses and parcel are handed over by their ids."""
        customs = {"customs_info": old.customs_info} if old.get("customs_info") else {}
        options = old.get("options")
        return await self._call(
            lambda: self._client.shipment.create(
                reference=reference,
                to_address=old.to_address,
                from_address=old.from_address,
                parcel=old.parcel,
                options=options.to_dict() if options else {},
                **customs,
            ),
            f"making a new shipment in place of {old.id}",
            writes=True,
            refusal=ErrorCode.STOP_NOT_UNDOABLE,
        )

    async def _buy(self, new: EasyPostObject, old: EasyPostObject) -> EasyPostObject:
        wanted = old.get("selected_rate")
        try:
            if wanted is None:
                raise FilteringError("")
            rate = new.lowest_rate([wanted.carrier], [wanted.service])
        except FilteringError:
            raise Refused(
                ErrorCode.STOP_NOT_UNDOABLE,
                f"EasyPost offers no rate of the service that label {old.id} had. Buy a label for it by hand and enter it "
                "in the order.",
            ) from None
        try:
            return await self._call(
                lambda: self._client.shipment.buy(new.id, rate={"id": rate.id}),
                f"buying a label in place of {old.id}",
                writes=True,
                refusal=ErrorCode.STOP_NOT_UNDOABLE,
            )
        except _Rejected as rejected:
            if rejected.code_at_easypost != _POSTAGE_EXISTS:
                raise
            return await self._read(new.id, refusal=ErrorCode.STOP_NOT_UNDOABLE)

    async def _find(self, reference: str) -> EasyPostObject | None:
        try:
            return await self._read(reference)
        except _Rejected as rejected:
            if rejected.status == 404:
                return None
            raise

    async def _read(self, name: str, refusal: ErrorCode = ErrorCode.SHIPMENT_NOT_STOPPABLE) -> EasyPostObject:
        """By id, or by reference: EasyPost takes either."""
        return await self._call(
            lambda: self._client.shipment.retrieve(name), f"reading label {name}", writes=False, refusal=refusal
        )

    async def _call(self, call: Callable[[], Result], doing: str, *, writes: bool, refusal: ErrorCode) -> Result:
        """Run a call of the SDK in a thread; everything that can go wrong is worded here."""

        with self.breaker.call() as let_in:

            def run() -> Result:
                try:
                    return call()
                except EasyPostError as error:
                    let_in.note_status(_status_of(error))
                    # Without its cause: that has the answer's body in it.
                    raise _failure(error, doing, writes=writes, refusal=refusal) from None

            return await asyncio.to_thread(run)


class _Rejected(Refused):
    """EasyPost understood the request and said no; with its code, for those who know what to make of it."""

    def __init__(self, code: ErrorCode, message: str, status: int, code_at_easypost: str) -> None:
        super().__init__(code, message)
        self.status = status
        self.code_at_easypost = code_at_easypost


def _status_of(error: EasyPostError) -> int | None:
    return error.http_status if isinstance(error, ApiError) else None


def _failure(error: EasyPostError, doing: str, *, writes: bool, refusal: ErrorCode) -> StepError:
    status = _status_of(error)
    if status in {401, 403}:
        return Refused(
            ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
            f"EasyPost rejected the API key while {doing}. Check the key in the settings, then retry the step.",
        )
    if status == 429:
        return Unavailable(f"EasyPost is limiting our rate; {doing} did not happen.", _retry_after.get())
    if status == 404:
        sentence = f"EasyPost knows nothing by that name while {doing}. Compare the label in the order with EasyPost."
        return _Rejected(refusal, sentence, status, "")
    if status is not None and 400 <= status < 500 and status != 408:
        code = str(getattr(error, "code", None) or status)
        return _Rejected(refusal, f"EasyPost refused {doing} ({code}). Look at the shipment at EasyPost.", status, code)
    if not writes:
        return Unavailable(f"EasyPost cannot be reached for {doing}.", _retry_after.get())
    return OutcomeUnknown(f"EasyPost did not answer while {doing}; it may have happened.", _retry_after.get())


def _remember_retry_after(*, http_status: int, headers: Mapping[str, str], **_: object) -> None:
    """The SDK's errors have no headers, so they are caught on the way. Only the form in seconds is used."""
    given = headers.get("Retry-After", "")
    _retry_after.set(float(given) if http_status >= 400 and given.isdecimal() else None)


def _label_status(shipment: EasyPostObject) -> LabelStatus:
    if shipment.get("tracking_code") is None:
        return LabelStatus.NONE
    refund = shipment.get("refund_status")
    if refund == "not_applicable":
        # A label that is only charged once it is scanned: unused, there is nothing to be paid back and it is as good as
        # voided; scanned, it can no longer be.
        tracker = shipment.get("tracker")
        return LabelStatus.VOID_REJECTED if tracker is not None and _moved(tracker) else LabelStatus.VOIDED
    return _LABELS.get(refund, LabelStatus.ACTIVE)


def _moved(tracker: EasyPostObject) -> bool:
    return any(scan.get("status") in _MOVED for scan in tracker.get("tracking_details") or ())


def _scans(tracker: EasyPostObject) -> list[Scan]:
    """The tracker's own status comes last, where its scans do not have it yet."""
    scans = [_scan(detail, detail.get("datetime")) for detail in tracker.get("tracking_details") or ()]
    if not any(detail.get("status") == tracker.status for detail in tracker.get("tracking_details") or ()):
        latest = max((scan.at for scan in scans if scan.at), default=None)
        scans.append(_scan(tracker, latest or tracker.get("updated_at")))
    return scans


def _scan(said: EasyPostObject, at: str | datetime | None) -> Scan:
    status, detail = said.get("status"), said.get("status_detail")
    moment = datetime.fromisoformat(at) if isinstance(at, str) and at else at or None
    return Scan(
        group=_group(status, detail),
        words=f"{status}: {detail or 'unknown'}",
        at=moment.replace(tzinfo=UTC) if isinstance(moment, datetime) and moment.tzinfo is None else moment,
    )


def _group(status: str | None, detail: str | None) -> GoodsGroup | None:
    """EasyPost's status in the words of the process; None where it does not say where the parcel is: `unknown` is what a
    fresh label has, and later that the carrier says nothing, `error` that EasyPost could not read it.

    `failure` is any delivery that will not happen (refused, damaged, expired, …): only with the detail `lost` is the
    parcel lost, else nobody knows where it ends.
    """
    if status == "failure":
        return GoodsGroup.LOST if detail == "lost" else GoodsGroup.UNKNOWN
    return _GROUPS.get(status or "")


def _tracking(shipment: EasyPostObject, tracker: EasyPostObject) -> Tracking:
    scans = _scans(tracker)
    decides = latest_meaning(scans)
    if decides is None or decides.group is None:
        fresh = tracker.status == "unknown"
        decides = _scan(tracker, None).model_copy(
            update={"group": GoodsGroup.NOT_HANDED_OVER if fresh else GoodsGroup.UNKNOWN}
        )
    return Tracking(
        group=decides.group or GoodsGroup.UNKNOWN,
        label=_label_status(shipment),
        detail=decides.words,
        at=max((scan.at for scan in scans if scan.at), default=None),
    )
