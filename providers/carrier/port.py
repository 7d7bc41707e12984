"""The carrier ports: labels with their tracking, and intercepts in the network. Two, because two companies sell them."""

from typing import Protocol

from domain.base import Value
from domain.shipment import LabelStatus, Tracking


class NewLabel(Value):
    label_reference: str
    tracking_number: str


class Intercept(Value):
    """A carrier's answer to a request to return a parcel to its sender. Accepted is not done: tracking shows the outcome.
    `reference` is the carrier's transaction id, `detail` its words when it declined."""

    accepted: bool
    reference: str | None = None
    detail: str = ""


class Labels(Protocol):
    """Raises `Unavailable`, `OutcomeUnknown` (read `track` before acting again) or `Refused`."""

    async def track(self, label_reference: str) -> Tracking:
        """Where the parcel is and what became of its label."""
        ...

    async def void(self, label_reference: str) -> LabelStatus:
        """Ask for the label to be voided. Looks at the label first: one that is voided, or asked to be, is not asked
        again. VOID_REJECTED usually means that the parcel was scanned: look at `track`."""
        ...

    async def buy_again(self, label_reference: str, *, key: str) -> NewLabel:
        """Buy a new label for the same parcel (same addresses, same service) in place of a voided one. The key is kept
        with the new label as its reference: one key, one label."""
        ...


class Intercepts(Protocol):
    """Raises `Unavailable`, `OutcomeUnknown` (look at `active` before acting again) or `Refused`."""

    async def active(self, tracking_number: str) -> bool:
        """Whether an intercept of ours stands on this parcel."""
        ...

    async def request(self, tracking_number: str, *, key: str) -> Intercept:
        """Ask for a return to sender. One that stands already counts as accepted. `key` names the transaction for the
        carrier's support; it is no idempotency key, so the look-up comes first."""
        ...

    async def cancel(self, tracking_number: str, *, key: str) -> Intercept:
        """Take the request back, so that the parcel goes on to the customer. None standing counts as accepted. Not
        accepted: the parcel is on its way back for good."""
        ...
