"""How Stripe's events are called: the adapter and the stand-in each have a list of their own."""

from enum import StrEnum
from typing import get_args, get_type_hints

import pytest
import stripe

from providers.events.stripe import StripeEventKind
from sandbox.gateway.records import EventKind


@pytest.mark.parametrize("kinds", [StripeEventKind, EventKind])
def test_stripe_has_events_of_these_names(kinds: type[StrEnum]) -> None:
    """F28: a name that is misspelt on both sides would be found by no other test."""
    known = get_args(get_type_hints(stripe.Event)["type"])
    assert {kind.value for kind in kinds} <= {*known}
