"""I7: some tests of the process once more, by a worker that remembers no run: each task replays it from its first event.

What depends on anything but the history (the clock, chance, the order of a set) comes out otherwise the second time, and
fails here, also where no recorded history has it. Long waits are left out: each look of theirs would replay all before it.
"""

from collections.abc import AsyncIterator

import pytest

from tests.replaying import WITHOUT_CACHE
from tests.system import System
from tests.workflows.test_forward_only import (
    test_a_refund_that_failed_goes_back_by_bank_transfer_when_the_customer_chooses_it,
    test_of_two_tenders_the_first_is_never_repeated_when_the_second_is_refused,
)
from tests.workflows.test_lost_runs import test_an_approval_that_a_lost_run_was_given_still_counts
from tests.workflows.test_paths import (
    test_a_captured_payment_is_refunded,
    test_a_part_of_an_order_is_cancelled_and_later_the_rest,
    test_every_shipment_is_stopped,
)
from tests.workflows.test_refunds_that_fail_later import (
    test_a_refund_that_fails_after_the_end_opens_the_cancellation_again,
)
from tests.workflows.test_roll_back import (
    test_a_cancel_request_is_the_roll_back,
    test_an_approval_refused_after_the_goods_were_stopped_lets_them_go_on,
    test_compensations_run_in_reverse_order,
)
from tests.workflows.test_second_requests import test_the_same_scope_joins

__all__ = [
    "test_a_cancel_request_is_the_roll_back",
    "test_a_captured_payment_is_refunded",
    "test_a_part_of_an_order_is_cancelled_and_later_the_rest",
    "test_a_refund_that_failed_goes_back_by_bank_transfer_when_the_customer_chooses_it",
    "test_a_refund_that_fails_after_the_end_opens_the_cancellation_again",
    "test_an_approval_refused_after_the_goods_were_stopped_lets_them_go_on",
    "test_an_approval_that_a_lost_run_was_given_still_counts",
    "test_compensations_run_in_reverse_order",
    "test_every_shipment_is_stopped",
    "test_of_two_tenders_the_first_is_never_repeated_when_the_second_is_refused",
    "test_the_same_scope_joins",
]


@pytest.fixture
async def system(bare_system: System) -> AsyncIterator[System]:
    """In the place of the one with a cache (tests/fixtures/system.py)."""
    async with bare_system.worker(**WITHOUT_CACHE):
        yield bare_system
