"""The one form of an idempotency key: whatever a shop writes into its ids, a key is read back as it was built."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.facts import EffectNoted
from domain.keys import EffectKey, cancellation_id, id_of
from domain.step import StepName
from tests.domain.build import request

IDS = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
PARTS = st.sampled_from(["", "void", "cancel", "authorise", "balance1"])
KEYS = st.builds(
    EffectKey,
    cancellation_id=st.builds(cancellation_id, IDS, IDS),
    step=st.sampled_from(StepName),
    target=IDS,
    n=st.integers(1, 999),
    part=PARTS,
)
ONE = EffectKey("can-1", StepName.REVERSE_PAYMENT, "T1")


@pytest.mark.parametrize(
    ("order_id", "target", "text"),
    [
        ("gid://shop/Order/1", "T1", "can-gid%3A%2F%2Fshop%2FOrder%2F1-{digest}/reverse_payment/T1/1"),
        ("a/b", "c/d", "can-a%2Fb-{digest}/reverse_payment/c/d/1"),
        ("50%", "%2F", "can-50%25-{digest}/reverse_payment/%252F/1"),
        ("50%", "50%", "can-50%25-{digest}/reverse_payment/50%/1"),
        ("1001", "T 1/é", "can-1001-{digest}/reverse_payment/T%201/%C3%A9/1"),
        ("1001", "T1.2", "can-1001-{digest}/reverse_payment/T1.2/1"),
    ],
)
def test_what_a_shop_writes_into_its_ids_is_no_part_of_the_form(order_id: str, target: str, text: str) -> None:
    cancellation = cancellation_id(order_id, "r-1")
    key = EffectKey(cancellation, StepName.REVERSE_PAYMENT, target)
    digest = cancellation.rsplit("-", 1)[1]
    assert str(key) == text.format(digest=digest)
    assert (EffectKey.parse(str(key)).cancellation_id, EffectKey.parse(str(key)).target) == (cancellation, target)


@pytest.mark.properties
@given(KEYS)
@example(EffectKey(cancellation_id("#" * 64, "r-1"), StepName.CLOSE_CANCELLATION, "#" * 64, 999, "authorise"))
@example(EffectKey(cancellation_id("/" * 64, "r-1"), StepName.CLOSE_CANCELLATION, "/" * 64, 999, "authorise"))
@example(EffectKey(cancellation_id("%41" * 21, "r-1"), StepName.CLOSE_CANCELLATION, "%41" * 21, 999, "authorise"))
@example(EffectKey(cancellation_id("gid://shopify/Order/5578291234567", "r-1"), StepName.REVERSE_PAYMENT, "T1"))
def test_a_key_is_one_that_every_gateway_takes(key: EffectKey) -> None:
    """P9: Stripe takes 255 characters (https://docs.stripe.com/api/idempotent_requests), all of them printable."""
    assert len(str(key)) <= 255
    assert re.fullmatch("[!-~]+", str(key))


def test_a_long_order_id_is_a_digest_in_the_cancellations_id() -> None:
    """Two such orders are two cancellations, and an order id that fits is written out."""
    first, second = cancellation_id("#" * 64, "r-1"), cancellation_id("#" * 63, "r-1")
    assert len(first) == len(second) == len("can--") + 32 + 10
    assert first[:-11] != second[:-11]
    assert cancellation_id("9" * 64, "r-1").startswith(f"can-{'9' * 64}-")


def test_a_cancellations_id_has_no_slash() -> None:
    with pytest.raises(ValueError, match="no id of a cancellation"):
        EffectKey("can/1", StepName.REVERSE_PAYMENT, "T1")


@pytest.mark.properties
@given(KEYS)
@example(EffectKey("can-1", StepName.REVERSE_PAYMENT, "%%41%/%4"))
@example(EffectKey("can-1", StepName.REVERSE_PAYMENT, "/1/x/2.void/"))
def test_a_key_is_read_back_as_it_was_built(key: EffectKey) -> None:
    assert EffectKey.parse(str(key)) == key
    assert EffectNoted.model_validate_json(EffectNoted(key=key).model_dump_json()).key == key


@pytest.mark.properties
@given(KEYS, KEYS)
def test_two_effects_never_share_a_key(one: EffectKey, other: EffectKey) -> None:
    def fields(key: EffectKey) -> tuple[str, StepName, str, int, str]:
        return (key.cancellation_id, key.step, key.target, key.n, key.part)

    assert (str(one) == str(other)) == (fields(one) == fields(other))


def test_the_next_key_drops_the_part_and_counts_on() -> None:
    assert str(ONE.next) == "can-1/reverse_payment/T1/2"
    assert ONE.part_of("void").next == ONE.next


def test_a_further_call_has_the_same_number_and_a_name() -> None:
    assert str(ONE.next.part_of("void")) == "can-1/reverse_payment/T1/2.void"
    assert ONE.part_of("void") != ONE


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ONE.next, True),
        (ONE.part_of("void"), True),
        (EffectKey("can-1", StepName.REVERSE_PAYMENT, "T2"), False),
        (EffectKey("can-1", StepName.GIVE_STORE_CREDIT, "T1"), False),
        (EffectKey("can-2", StepName.REVERSE_PAYMENT, "T1"), False),
    ],
)
def test_the_same_step_is_the_same_whatever_its_number_and_part(other: EffectKey, same: bool) -> None:
    assert ONE.is_same_step(other) is same


@pytest.mark.parametrize(
    "text",
    [None, "", "refund for order 7", "a/b/c/1", "can-1/reverse_payment/T1", "can-1/reverse_payment/T1/x", "1/2/3/4/5"],
)
def test_what_a_stranger_wrote_is_no_key(text: str | None) -> None:
    assert EffectKey.read(text) is None


@pytest.mark.properties
@given(st.text() | st.builds("can-1/reverse_payment/T1/{}".format, st.text(max_size=5)))
@example("can-1/reverse_payment/T1/01")
@example("can-1/reverse_payment/T1/+1")
@example("can-1/reverse_payment/T1/1.")
@example("can-1/reverse_payment/T1/0")
@example("can-1/reverse_payment/T%31/1")
@example("can-1/reverse_payment/T%2F1/1")
@example("can-1/reverse_payment/T 1/1")
def test_what_is_read_as_a_key_is_what_we_would_have_written(text: str) -> None:
    """Else it would be looked up under a text that no provider has."""
    found = EffectKey.read(text)
    assert found is None or str(found) == text


def test_a_cancellations_id_is_its_request_and_no_other() -> None:
    assert cancellation_id("1001", "r-1") == cancellation_id("1001", "r-1") == id_of(request())
    assert cancellation_id("1001", "r-1") != cancellation_id("1001", "r-2")
    assert cancellation_id("1001", "r-1") != cancellation_id("1002", "r-1")
    assert cancellation_id("a/b", "c") != cancellation_id("a", "b/c")
    assert "/" not in cancellation_id("gid://shop/Order/1", "r-1")
