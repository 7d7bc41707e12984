"""Parcels and everything that happens to them: the stand-in's own words and the messages of its `/sandbox` endpoints."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

EASYPOST_KEY = "EZTK-sandbox"
UPS_CLIENT_ID = "sandbox-client"
UPS_CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - it opens nothing but the stand-in
WEBHOOK_SECRET = "sandbox-webhook-secret"  # noqa: S105


class Script(StrEnum):
    """What a parcel does without being asked. An EasyPost shipment names its script in `options.sandbox_script`."""

    LABEL_ONLY = "label_only"
    PAY_ON_USE = "pay_on_use"
    """A label that is charged when it is scanned: EasyPost answers a void with `not_applicable`."""
    SCANNED_BEFORE_VOID = "scanned_before_void"
    """Tracking still says pre_transit, but the void is rejected and the scan turns up with the rejection."""
    IN_NETWORK = "in_network"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    LOST = "lost"
    INTERCEPT_DECLINED = "intercept_declined"
    INTERCEPT_ACCEPTED_THEN_RETURNS = "intercept_accepted_then_returns"
    INTERCEPT_ACCEPTED_THEN_DELIVERED = "intercept_accepted_then_delivered"
    INTERCEPT_SILENT = "intercept_silent"
    INTERCEPT_IS_FINAL = "intercept_is_final"
    """As silent, and UPS does not take the accepted intercept back any more."""


class TrackerStatus(StrEnum):
    """EasyPost's tracker statuses, all of them."""

    UNKNOWN = "unknown"
    PRE_TRANSIT = "pre_transit"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    RETURN_TO_SENDER = "return_to_sender"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    ERROR = "error"


class RefundStatus(StrEnum):
    """EasyPost's states of a label void."""

    SUBMITTED = "submitted"
    REFUNDED = "refunded"
    REJECTED = "rejected"
    NOT_APPLICABLE = "not_applicable"


class InterceptState(StrEnum):
    STANDS = "stands"
    CANCELLED = "cancelled"
    EXECUTED = "executed"


class Scan(BaseModel):
    status: TrackerStatus
    detail: str
    at: datetime


class Rate(BaseModel):
    """`price` is EasyPost's decimal text, in USD."""

    id: str
    service: str
    price: str


class Parcel(BaseModel):
    """An EasyPost shipment and, once bought, the parcel behind it."""

    id: str
    reference: str | None
    script: Script
    created_at: datetime
    # Addresses, dimensions and options are only ever handed back as they came.
    to_address: dict[str, Any]
    from_address: dict[str, Any]
    dimensions: dict[str, Any]
    customs_info: dict[str, Any] | None
    options: dict[str, Any]
    rates: list[Rate]
    bought_rate: Rate | None = None
    tracking_number: str | None = None
    tracker_id: str | None = None
    scans: list[Scan] = []
    due: list[Scan] = []
    """Scans that the clock will bring. All are those of an intercept, and go away with it."""
    refund_status: RefundStatus | None = None
    refund_due: datetime | None = None
    intercept: InterceptState | None = None
    updated_at: datetime

    @property
    def status(self) -> TrackerStatus:
        return self.scans[-1].status if self.scans else TrackerStatus.UNKNOWN

    @property
    def handed_over(self) -> bool:
        return any(scan.status not in {TrackerStatus.UNKNOWN, TrackerStatus.PRE_TRANSIT} for scan in self.scans)


class EffectKind(StrEnum):
    LABEL_BOUGHT = "label.bought"
    VOID_SUBMITTED = "label.void_submitted"
    VOIDED = "label.voided"
    INTERCEPT_REQUESTED = "intercept.requested"
    INTERCEPT_CANCELLED = "intercept.cancelled"


class Effect(BaseModel):
    """Something that was committed. `object` is the shipment id; `key` is what the caller named it by: the shipment's
    reference for a label, the transId for an intercept. `address` is the id of the customer's: labels that are bought for
    one parcel, one after the other, have the same. `at` is by the sandbox clock, `really_at` by the machine's, which nobody
    advances: in seconds since 1970."""

    kind: EffectKind
    object: str
    key: str | None
    address: str | None = None
    at: datetime
    really_at: float = 0


class EventKind(StrEnum):
    TRACKER_UPDATED = "tracker.updated"
    REFUND_SUCCESSFUL = "refund.successful"


class Operation(StrEnum):
    """What can be made to fail. Each is the name of its route."""

    SHIPMENT_CREATE = "shipment.create"
    SHIPMENT_READ = "shipment.read"
    SHIPMENT_BUY = "shipment.buy"
    SHIPMENT_REFUND = "shipment.refund"
    TRACKER_CREATE = "tracker.create"
    TRACKER_READ = "tracker.read"
    EVENT_LIST = "event.list"
    EVENT_PAYLOADS = "event.payloads"
    OAUTH_TOKEN = "oauth.token"  # noqa: S105
    INTERCEPT_ELIGIBILITY = "intercept.eligibility"
    INTERCEPT_RETURN = "intercept.return"
    INTERCEPT_CANCEL = "intercept.cancel"


class FaultKind(StrEnum):
    SLOW = "slow"
    """Waits before it works; a caller that has given up by then does not stop it."""
    HTTP_401 = "http_401"
    """The token, or the key, does not hold any more. Whoever fetches a token logs in again."""
    HTTP_429 = "http_429"
    HTTP_500 = "http_500"
    HTTP_500_AFTER_COMMIT = "http_500_after_commit"
    DROP_BEFORE_COMMIT = "drop_before_commit"
    DROP_AFTER_COMMIT = "drop_after_commit"


class Fault(BaseModel):
    """It begins `after` some calls. `seconds` is the wait of `slow` and the Retry-After of `http_429`. `parcel` is the id
    of a shipment, or the reference of one that may not be there yet; None means any."""

    operation: Operation
    fault: FaultKind
    times: Annotated[int, Field(ge=1)] = 1
    after: Annotated[int, Field(ge=0)] = 0
    parcel: str | None = None
    seconds: int = 2


class NewParcel(BaseModel):
    script: Script
    reference: str | None = None


class LabelledParcel(BaseModel):
    shipment_id: str
    tracking_number: str


class ManualScan(BaseModel):
    """`seconds_ago`: it happened then, and the carrier reports it only now."""

    status: TrackerStatus
    detail: str = "status_update"
    seconds_ago: Annotated[float, Field(ge=0)] = 0


class Advance(BaseModel):
    seconds: Annotated[float, Field(gt=0)]


class Health(BaseModel):
    """`now` is the sandbox clock: real time and everything it was advanced by."""

    now: datetime
