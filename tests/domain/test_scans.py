"""Where a parcel is, by all its scans."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.scans import Scan, latest_meaning
from domain.shipment import GoodsGroup

START = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
LABEL, NETWORK, OUT = GoodsGroup.NOT_HANDED_OVER, GoodsGroup.IN_NETWORK, GoodsGroup.LAST_MILE
THERE, BACK, RETURNED = GoodsGroup.DELIVERED, GoodsGroup.COMING_BACK, GoodsGroup.RETURNED
LOST, UNCLEAR = GoodsGroup.LOST, GoodsGroup.UNKNOWN


def scanned(*groups: GoodsGroup | None) -> list[Scan]:
    """An hour apart."""
    return [Scan(group=group, at=START + timedelta(hours=hours)) for hours, group in enumerate(groups)]


def place_of(scans: list[Scan]) -> GoodsGroup | None:
    found = latest_meaning(scans)
    return found.group if found else None


@pytest.mark.parametrize(
    ("groups", "where"),
    [
        ([], None),
        ([None], None),
        ([LABEL, None], LABEL),
        ([LABEL, NETWORK, LABEL], NETWORK),
        ([NETWORK, OUT, NETWORK], NETWORK),
        ([NETWORK, OUT, THERE, NETWORK, OUT, None], THERE),
        ([NETWORK, OUT, THERE, BACK, THERE], THERE),
        ([NETWORK, BACK, NETWORK, LABEL, None], BACK),
        ([NETWORK, BACK, NETWORK, THERE], RETURNED),
        ([NETWORK, BACK, THERE, OUT], RETURNED),
        ([NETWORK, BACK, NETWORK, OUT], OUT),
        ([NETWORK, BACK, NETWORK, OUT, THERE], THERE),
        ([NETWORK, BACK, OUT, BACK, THERE], RETURNED),
        ([NETWORK, LOST], LOST),
        ([NETWORK, LOST, NETWORK], NETWORK),
        ([NETWORK, UNCLEAR, None], UNCLEAR),
        ([NETWORK, UNCLEAR, BACK], BACK),
    ],
)
def test_the_latest_scan_that_means_something_decides(
    groups: list[GoodsGroup | None], where: GoodsGroup | None
) -> None:
    """F14a, E10."""
    assert place_of(scanned(*groups)) is where


@given(st.lists(st.sampled_from([None, *GoodsGroup]), max_size=8), st.randoms(use_true_random=False))
def test_the_order_in_which_scans_are_listed_does_not_matter(
    groups: list[GoodsGroup | None], shuffled: random.Random
) -> None:
    """F14a, E10: their times do."""
    scans = scanned(*groups)
    listed = list(scans)
    shuffled.shuffle(listed)
    assert place_of(listed) is place_of(scans)


def test_a_scan_without_a_time_happened_when_it_was_listed() -> None:
    late, early = scanned(NETWORK, THERE)[1], scanned(NETWORK)[0]
    assert place_of([early, Scan(group=OUT), late]) is THERE
    assert place_of([Scan(group=OUT), early]) is NETWORK
