"""Intercepts: the adapter, over HTTP, against the carrier stand-in."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.shipment import GoodsGroup
from providers.carrier.easypost import EasyPostLabels
from providers.carrier.ups import UpsIntercepts, transaction_for
from sandbox.carrier.model import (
    UPS_CLIENT_ID,
    UPS_CLIENT_SECRET,
    EffectKind,
    FaultKind,
    LabelledParcel,
    Operation,
    Script,
)
from sandbox.carrier.ups import TOKEN_LIFETIME
from sandbox.carrier_admin import CarrierAdmin

REQUESTED, CANCELLED = EffectKind.INTERCEPT_REQUESTED, EffectKind.INTERCEPT_CANCELLED


def key_for(parcel: LabelledParcel) -> str:
    return f"cancel-order-1/stop_shipment/{parcel.shipment_id}/1"


async def intercept_effects(carrier: CarrierAdmin, parcel: LabelledParcel) -> list[tuple[EffectKind, str | None]]:
    effects = await carrier.effects(parcel.shipment_id)
    return [(effect.kind, effect.key) for effect in effects if effect.kind in {REQUESTED, CANCELLED}]


async def test_accepted_intercept_is_followed_by_the_return_scan(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, intercepts: UpsIntercepts
) -> None:
    """C6. The answer is acceptance only; tracking shows the outcome."""
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)
    answer = await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    assert answer.accepted
    assert answer.reference == transaction_for(key_for(parcel))
    await carrier_sandbox.advance(1)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.COMING_BACK


async def test_accepted_intercept_may_be_delivered_all_the_same(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, intercepts: UpsIntercepts
) -> None:
    """C7."""
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_ACCEPTED_THEN_DELIVERED)
    assert (await intercepts.request(parcel.tracking_number, key=key_for(parcel))).accepted
    await carrier_sandbox.advance(2)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.DELIVERED


async def test_accepted_intercept_may_be_followed_by_silence(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, intercepts: UpsIntercepts
) -> None:
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    assert (await intercepts.request(parcel.tracking_number, key=key_for(parcel))).accepted
    await carrier_sandbox.advance(86400)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.IN_NETWORK
    assert await intercepts.active(parcel.tracking_number)


@pytest.mark.parametrize(
    "script", [Script.OUT_FOR_DELIVERY, Script.DELIVERED, Script.LABEL_ONLY, Script.INTERCEPT_DECLINED]
)
async def test_a_decline_is_an_answer_and_leaves_nothing_behind(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts, script: Script
) -> None:
    """C8: never out for delivery. INTERCEPT_DECLINED is eligible, and declined all the same inside an HTTP 200."""
    parcel = await carrier_sandbox.parcel(script)
    answer = await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    assert not answer.accepted
    assert answer.detail
    assert await intercept_effects(carrier_sandbox, parcel) == []
    assert not await intercepts.active(parcel.tracking_number)


async def test_a_number_that_is_not_ours_is_declined(intercepts: UpsIntercepts) -> None:
    answer = await intercepts.request("1Z9999999999999999", key="k/1")
    assert not answer.accepted
    assert len(answer.detail) <= 120


async def test_one_that_stands_counts_as_accepted(carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts) -> None:
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    assert (await intercepts.request(parcel.tracking_number, key="another/1")).accepted
    assert await intercept_effects(carrier_sandbox, parcel) == [(REQUESTED, transaction_for(key_for(parcel)))]


@pytest.mark.parametrize("fault", [FaultKind.DROP_AFTER_COMMIT, FaultKind.HTTP_500_AFTER_COMMIT])
async def test_intercept_whose_answer_was_lost_is_found_and_not_repeated(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts, fault: FaultKind
) -> None:
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    await carrier_sandbox.add_fault(Operation.INTERCEPT_RETURN, fault, parcel=parcel.shipment_id)
    with pytest.raises(OutcomeUnknown):
        await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    assert (await intercepts.request(parcel.tracking_number, key=key_for(parcel))).accepted
    assert await intercept_effects(carrier_sandbox, parcel) == [(REQUESTED, transaction_for(key_for(parcel)))]


async def test_a_decline_after_a_lost_acceptance_is_explained_by_tracking(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, intercepts: UpsIntercepts
) -> None:
    """UPS no longer shows an intercept that was carried out: a decline alone does not mean that the parcel goes on."""
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)
    await carrier_sandbox.add_fault(Operation.INTERCEPT_RETURN, FaultKind.DROP_AFTER_COMMIT, parcel=parcel.shipment_id)
    with pytest.raises(OutcomeUnknown):
        await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    await carrier_sandbox.advance(1)
    assert not (await intercepts.request(parcel.tracking_number, key=key_for(parcel))).accepted
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.COMING_BACK
    assert len(await intercept_effects(carrier_sandbox, parcel)) == 1


async def test_cancelling_the_intercept_lets_the_parcel_go_on(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, intercepts: UpsIntercepts
) -> None:
    """D1: the real undo of an intercept, once, also when its own answer is lost."""
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    await carrier_sandbox.add_fault(Operation.INTERCEPT_CANCEL, FaultKind.DROP_AFTER_COMMIT, parcel=parcel.shipment_id)
    with pytest.raises(OutcomeUnknown):
        await intercepts.cancel(parcel.tracking_number, key="undo/1")
    assert (await intercepts.cancel(parcel.tracking_number, key="undo/1")).accepted
    assert not await intercepts.active(parcel.tracking_number)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.IN_NETWORK
    assert await intercept_effects(carrier_sandbox, parcel) == [
        (REQUESTED, transaction_for(key_for(parcel))),
        (CANCELLED, transaction_for("undo/1")),
    ]


async def test_a_cancelled_intercept_brings_no_return_scan(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, intercepts: UpsIntercepts
) -> None:
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    await intercepts.cancel(parcel.tracking_number, key="undo/1")
    await carrier_sandbox.advance(86400)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.IN_NETWORK


async def test_cancelling_where_none_stands_is_nothing_to_do(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts
) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    assert (await intercepts.cancel(parcel.tracking_number, key="undo/1")).accepted
    assert await intercept_effects(carrier_sandbox, parcel) == []


async def test_a_parcel_on_its_way_back_cannot_be_sent_on(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts
) -> None:
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)
    await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    await carrier_sandbox.advance(1)
    assert not (await intercepts.cancel(parcel.tracking_number, key="undo/1")).accepted


async def test_rate_limit_says_when_to_come_back(carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    await carrier_sandbox.add_fault(
        Operation.INTERCEPT_RETURN, FaultKind.HTTP_429, parcel=parcel.shipment_id, seconds=9
    )
    with pytest.raises(Unavailable) as caught:
        await intercepts.request(parcel.tracking_number, key=key_for(parcel))
    assert caught.value.retry_after == 9


@pytest.mark.parametrize("fault", [FaultKind.DROP_BEFORE_COMMIT, FaultKind.HTTP_500])
async def test_a_failed_look_up_is_unavailable(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts, fault: FaultKind
) -> None:
    """C14."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    await carrier_sandbox.add_fault(Operation.INTERCEPT_ELIGIBILITY, fault, parcel=parcel.shipment_id)
    with pytest.raises(Unavailable):
        await intercepts.active(parcel.tracking_number)
    assert not await intercepts.active(parcel.tracking_number)


async def test_an_expired_token_is_replaced_within_the_call(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts
) -> None:
    """The stand-in's clock runs ahead of ours, so only its 401 says that the token has ended."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    assert not await intercepts.active(parcel.tracking_number)
    await carrier_sandbox.advance(TOKEN_LIFETIME.total_seconds() + 1)
    assert not await intercepts.active(parcel.tracking_number)


async def test_a_wrong_secret_is_refused_without_showing_it(carrier_sandbox: CarrierAdmin) -> None:
    ups = UpsIntercepts(UPS_CLIENT_ID, "other-secret", carrier_sandbox.ups_url)
    with pytest.raises(Refused) as caught:
        await ups.active("1Z9999999999999999")
    await ups.aclose()
    assert caught.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS
    assert "other-secret" not in caught.value.message


async def test_of_two_requests_at_the_same_time_both_count_as_accepted(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts
) -> None:
    """I2: the first attempt's request is still on its way when the second one looks, which is then declined: an intercept
    stands. Were that the parcel's answer, it would come back, and the customer have neither goods nor money."""
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    await carrier_sandbox.add_fault(Operation.INTERCEPT_RETURN, FaultKind.SLOW, parcel=parcel.shipment_id, seconds=1)
    answers = await asyncio.gather(*(intercepts.request(parcel.tracking_number, key=key) for key in ("k-1", "k-2")))
    assert [answer.accepted for answer in answers] == [True, True]
    assert [kind for kind, _ in await intercept_effects(carrier_sandbox, parcel)] == [REQUESTED]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_token_that_does_not_hold_any_more_is_replaced_once_before_the_write(
    carrier_sandbox: CarrierAdmin, intercepts: UpsIntercepts, times: int
) -> None:
    """It held when the parcel was looked at. Refused again with a new one, it is the credentials that are wrong."""
    parcel = await carrier_sandbox.parcel(Script.INTERCEPT_SILENT)
    await carrier_sandbox.add_fault(
        Operation.INTERCEPT_RETURN, FaultKind.HTTP_401, parcel=parcel.shipment_id, times=times
    )
    if times == 1:
        assert (await intercepts.request(parcel.tracking_number, key="k-1")).accepted
    else:
        with pytest.raises(Refused) as caught:
            await intercepts.request(parcel.tracking_number, key="k-1")
        assert caught.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS
    assert await intercepts.active(parcel.tracking_number) is (times == 1)


async def test_a_failed_token_endpoint_is_unavailable_also_for_a_write(carrier_sandbox: CarrierAdmin) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    ups = UpsIntercepts(UPS_CLIENT_ID, UPS_CLIENT_SECRET, carrier_sandbox.ups_url)
    await carrier_sandbox.add_fault(Operation.OAUTH_TOKEN, FaultKind.HTTP_500)
    with pytest.raises(Unavailable):
        await ups.request(parcel.tracking_number, key=key_for(parcel))
    await ups.aclose()


async def test_an_invalid_request_is_our_mistake_and_no_decline(carrier_sandbox: CarrierAdmin) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    ups = UpsIntercepts(UPS_CLIENT_ID, UPS_CLIENT_SECRET, carrier_sandbox.ups_url, contact_phone="unlisted")
    with pytest.raises(Refused, match="phone") as caught:
        await ups.request(parcel.tracking_number, key=key_for(parcel))
    await ups.aclose()
    assert caught.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    ups = UpsIntercepts(UPS_CLIENT_ID, UPS_CLIENT_SECRET, f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(Unavailable):
        await ups.active("1Z9999999999999999")
    await ups.aclose()


@pytest.fixture
async def at_the_test_environment(carrier_sandbox: CarrierAdmin) -> AsyncIterator[UpsIntercepts]:
    ups = UpsIntercepts(
        UPS_CLIENT_ID,
        UPS_CLIENT_SECRET,
        f"{carrier_sandbox.ups_url}/cie",
        f"{carrier_sandbox.ups_url}/security/v1/oauth/token",
        test_environment=True,
    )
    yield ups
    await ups.aclose()


async def test_the_adapter_can_be_tried_in_the_test_environment_of_ups(at_the_test_environment: UpsIntercepts) -> None:
    """F26: it knows one transaction id and one parcel for each call, whatever is asked about."""
    requested = await at_the_test_environment.request("1ZC4N5L10300000015", key="key/1")
    assert (requested.accepted, requested.reference) == (True, "SIIReturn")
    cancelled = await at_the_test_environment.cancel("1ZC4N5L10300000015", key="key/2")
    assert (cancelled.accepted, cancelled.reference) == (True, "SIICancel")
    assert not await at_the_test_environment.active("1ZC4N5L10300000015")


async def test_the_test_environment_of_ups_knows_nothing_but_its_own_data(carrier_sandbox: CarrierAdmin) -> None:
    """F26"""
    ups = UpsIntercepts(
        UPS_CLIENT_ID,
        UPS_CLIENT_SECRET,
        f"{carrier_sandbox.ups_url}/cie",
        f"{carrier_sandbox.ups_url}/security/v1/oauth/token",
    )
    with pytest.raises(Refused):
        await ups.request("1ZC4N5L10300000015", key="key/1")
    await ups.aclose()
