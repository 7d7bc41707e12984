"""Where a parcel is, by all its scans. Pure."""

from collections.abc import Iterable
from datetime import datetime

from domain.base import Value
from domain.shipment import GoodsGroup


class Scan(Value):
    """One report of the carrier. `group` is where the parcel is by this scan alone, None when it does not say. `words` are
    the carrier's own."""

    group: GoodsGroup | None
    words: str = ""
    at: datetime | None = None


_LABEL_ONLY = frozenset({GoodsGroup.NOT_HANDED_OVER})
_UNCHANGED_BY: dict[GoodsGroup | None, frozenset[GoodsGroup]] = {
    None: frozenset(),
    # What becomes of it after it was delivered is a return, and no cancellation.
    GoodsGroup.DELIVERED: frozenset(GoodsGroup),
    GoodsGroup.RETURNED: frozenset(GoodsGroup),
    # On its way back it travels through the network as well.
    GoodsGroup.COMING_BACK: _LABEL_ONLY | {GoodsGroup.IN_NETWORK, GoodsGroup.COMING_BACK},
}
"""Which scans leave a parcel where it was, by where it was; elsewhere only those of its label."""


# Rule: The latest scan that means something says where a parcel is; delivered stays delivered
def latest_meaning(scans: Iterable[Scan]) -> Scan | None:
    """The scan that says where the parcel is: the latest that means something. Carriers report late and out of order, so the
    times decide; one without a time happened when it was listed. None: no scan says anything."""
    found: Scan | None = None
    for scan in _by_time(scans):
        before = found.group if found else None
        if scan.group is None or scan.group in _UNCHANGED_BY.get(before, _LABEL_ONLY):
            continue
        found = scan
        if before is GoodsGroup.COMING_BACK and scan.group is GoodsGroup.DELIVERED:
            found = scan.model_copy(update={"group": GoodsGroup.RETURNED})
    return found


def _by_time(scans: Iterable[Scan]) -> list[Scan]:
    timed: list[tuple[float, Scan]] = []
    before = float("-inf")
    for scan in scans:
        before = scan.at.timestamp() if scan.at else before
        timed.append((before, scan))
    return [scan for _, scan in sorted(timed, key=lambda timed_scan: timed_scan[0])]
