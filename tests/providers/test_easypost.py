"""Labels and tracking: the real SDK, over HTTP, against the carrier stand-in."""

from datetime import timedelta

import pytest

from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.shipment import GoodsGroup, LabelStatus
from providers.carrier.easypost import EasyPostLabels, reference_for
from sandbox.carrier.model import EASYPOST_KEY, EffectKind, FaultKind, Operation, Script, TrackerStatus
from sandbox.carrier.network import VOID_TAKES
from sandbox.carrier_admin import CarrierAdmin


async def kinds(carrier: CarrierAdmin, shipment_id: str) -> list[EffectKind]:
    return [effect.kind for effect in await carrier.effects(shipment_id)]


@pytest.mark.parametrize(
    ("script", "group"),
    [
        (Script.LABEL_ONLY, GoodsGroup.NOT_HANDED_OVER),
        (Script.IN_NETWORK, GoodsGroup.IN_NETWORK),
        (Script.OUT_FOR_DELIVERY, GoodsGroup.LAST_MILE),
        (Script.DELIVERED, GoodsGroup.DELIVERED),
        (Script.LOST, GoodsGroup.LOST),
    ],
)
async def test_tracking_tells_where_the_parcel_is(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, script: Script, group: GoodsGroup
) -> None:
    """C8, C9, C12: what the process decides by."""
    parcel = await carrier_sandbox.parcel(script)
    tracking = await labels.track(parcel.shipment_id)
    assert (tracking.group, tracking.label) == (group, LabelStatus.ACTIVE)
    assert tracking.at is not None
    assert tracking.at.tzinfo is not None


@pytest.mark.parametrize(
    ("status", "group"),
    [
        (TrackerStatus.AVAILABLE_FOR_PICKUP, GoodsGroup.LAST_MILE),
        (TrackerStatus.RETURN_TO_SENDER, GoodsGroup.COMING_BACK),
        (TrackerStatus.FAILURE, GoodsGroup.UNKNOWN),
    ],
)
async def test_each_status_after_the_first_scan_has_its_group(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, status: TrackerStatus, group: GoodsGroup
) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    await carrier_sandbox.scan(parcel.shipment_id, status)
    assert (await labels.track(parcel.shipment_id)).group is group


async def test_a_label_that_was_never_scanned_is_not_handed_over(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.UNKNOWN)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.NOT_HANDED_OVER


async def test_delivered_after_it_was_turned_round_is_returned(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.RETURN_TO_SENDER)
    await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.DELIVERED)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.RETURNED


async def test_delivered_after_its_address_was_corrected_on_the_way_back_is_delivered(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    """E10: the later scans decide."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    on_its_way = TrackerStatus.RETURN_TO_SENDER, TrackerStatus.IN_TRANSIT, TrackerStatus.OUT_FOR_DELIVERY
    for status in (*on_its_way, TrackerStatus.DELIVERED):
        await carrier_sandbox.scan(parcel.shipment_id, status)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.DELIVERED


@pytest.mark.parametrize(
    "silent", [TrackerStatus.UNKNOWN, TrackerStatus.ERROR, TrackerStatus.PRE_TRANSIT, TrackerStatus.CANCELLED]
)
@pytest.mark.parametrize(
    ("statuses", "group"),
    [
        ([TrackerStatus.IN_TRANSIT], GoodsGroup.IN_NETWORK),
        ([TrackerStatus.OUT_FOR_DELIVERY], GoodsGroup.LAST_MILE),
        ([TrackerStatus.RETURN_TO_SENDER], GoodsGroup.COMING_BACK),
        ([TrackerStatus.OUT_FOR_DELIVERY, TrackerStatus.DELIVERED], GoodsGroup.DELIVERED),
        ([TrackerStatus.RETURN_TO_SENDER, TrackerStatus.DELIVERED], GoodsGroup.RETURNED),
    ],
)
async def test_a_later_scan_that_says_nothing_leaves_the_parcel_where_it_was(
    carrier_sandbox: CarrierAdmin,
    labels: EasyPostLabels,
    statuses: list[TrackerStatus],
    group: GoodsGroup,
    silent: TrackerStatus,
) -> None:
    """F14a, E10."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    for status in (*statuses, silent):
        await carrier_sandbox.scan(parcel.shipment_id, status)
    assert (await labels.track(parcel.shipment_id)).group is group


@pytest.mark.parametrize("later", [TrackerStatus.IN_TRANSIT, TrackerStatus.OUT_FOR_DELIVERY, TrackerStatus.FAILURE])
async def test_what_was_delivered_stays_delivered(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, later: TrackerStatus
) -> None:
    """F14a, E10: the customer has it, whatever is scanned afterwards."""
    parcel = await carrier_sandbox.parcel(Script.DELIVERED)
    await carrier_sandbox.scan(parcel.shipment_id, later)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.DELIVERED


async def test_a_parcel_that_travels_on_its_way_back_is_still_coming_back(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    """F14a, E10: it goes through the carrier's buildings on this way as well."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    for status in (TrackerStatus.RETURN_TO_SENDER, TrackerStatus.IN_TRANSIT):
        await carrier_sandbox.scan(parcel.shipment_id, status)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.COMING_BACK


@pytest.mark.parametrize(
    ("statuses", "group"),
    [
        ([TrackerStatus.DELIVERED, TrackerStatus.OUT_FOR_DELIVERY], GoodsGroup.DELIVERED),
        ([TrackerStatus.OUT_FOR_DELIVERY, TrackerStatus.RETURN_TO_SENDER], GoodsGroup.LAST_MILE),
        ([TrackerStatus.DELIVERED, TrackerStatus.RETURN_TO_SENDER], GoodsGroup.RETURNED),
        ([TrackerStatus.RETURN_TO_SENDER, TrackerStatus.IN_TRANSIT], GoodsGroup.COMING_BACK),
    ],
)
async def test_scans_that_arrive_out_of_order_are_read_by_their_times(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, statuses: list[TrackerStatus], group: GoodsGroup
) -> None:
    """F14a, E10: the last of the list is the first that happened."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    for minutes, status in enumerate(statuses):
        await carrier_sandbox.scan(parcel.shipment_id, status, ago=timedelta(seconds=minutes))
    assert (await labels.track(parcel.shipment_id)).group is group


async def test_void_of_an_unscanned_label_is_submitted_once_and_confirmed_by_time(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    """C3."""
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOID_SUBMITTED
    # From here on a call would fail: the label is only looked at.
    await carrier_sandbox.add_fault(Operation.SHIPMENT_REFUND, FaultKind.HTTP_500, times=9, parcel=parcel.shipment_id)
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOID_SUBMITTED
    await carrier_sandbox.advance(VOID_TAKES.total_seconds())
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOIDED
    assert await kinds(carrier_sandbox, parcel.shipment_id) == [
        EffectKind.LABEL_BOUGHT,
        EffectKind.VOID_SUBMITTED,
        EffectKind.VOIDED,
    ]


async def test_void_rejected_because_of_a_scan_shows_the_parcel_in_the_network(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    """C4: tracking lagged behind; the rejection brings the truth."""
    parcel = await carrier_sandbox.parcel(Script.SCANNED_BEFORE_VOID)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.NOT_HANDED_OVER
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOID_REJECTED
    tracking = await labels.track(parcel.shipment_id)
    assert (tracking.group, tracking.label) == (GoodsGroup.IN_NETWORK, LabelStatus.VOID_REJECTED)


async def test_void_of_a_parcel_in_the_network_is_rejected(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    """C4: EasyPost refuses the request itself."""
    parcel = await carrier_sandbox.parcel(Script.IN_NETWORK)
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOID_REJECTED
    assert await kinds(carrier_sandbox, parcel.shipment_id) == [EffectKind.LABEL_BOUGHT]


async def test_a_scan_after_the_void_was_submitted_rejects_it(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await labels.void(parcel.shipment_id)
    await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.IN_TRANSIT)
    tracking = await labels.track(parcel.shipment_id)
    assert (tracking.group, tracking.label) == (GoodsGroup.IN_NETWORK, LabelStatus.VOID_REJECTED)


async def test_a_label_charged_on_use_counts_as_voided_until_it_is_scanned(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    parcel = await carrier_sandbox.parcel(Script.PAY_ON_USE)
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOIDED
    await carrier_sandbox.scan(parcel.shipment_id, TrackerStatus.IN_TRANSIT)
    assert (await labels.track(parcel.shipment_id)).label is LabelStatus.VOID_REJECTED


@pytest.mark.parametrize("fault", [FaultKind.DROP_AFTER_COMMIT, FaultKind.HTTP_500_AFTER_COMMIT])
async def test_void_whose_answer_was_lost_is_found_and_not_repeated(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, fault: FaultKind
) -> None:
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_REFUND, fault, parcel=parcel.shipment_id)
    with pytest.raises(OutcomeUnknown):
        await labels.void(parcel.shipment_id)
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOID_SUBMITTED
    assert (await kinds(carrier_sandbox, parcel.shipment_id)).count(EffectKind.VOID_SUBMITTED) == 1


async def test_void_that_outlives_the_timeout_has_one_effect(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    impatient = EasyPostLabels(EASYPOST_KEY, carrier_sandbox.easypost_url, timeout=0.3)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_REFUND, FaultKind.SLOW, parcel=parcel.shipment_id, seconds=1)
    with pytest.raises(OutcomeUnknown):
        await impatient.void(parcel.shipment_id)
    # This one may come first; then the slow one is refused as a repeat.
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOID_SUBMITTED
    assert (await kinds(carrier_sandbox, parcel.shipment_id)).count(EffectKind.VOID_SUBMITTED) == 1


@pytest.mark.parametrize("fault", [FaultKind.DROP_BEFORE_COMMIT, FaultKind.HTTP_500])
async def test_void_that_never_arrived_is_asked_again(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, fault: FaultKind
) -> None:
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_REFUND, fault, parcel=parcel.shipment_id)
    with pytest.raises(OutcomeUnknown):
        await labels.void(parcel.shipment_id)
    assert EffectKind.VOID_SUBMITTED not in await kinds(carrier_sandbox, parcel.shipment_id)
    assert await labels.void(parcel.shipment_id) is LabelStatus.VOID_SUBMITTED


@pytest.mark.parametrize("fault", [FaultKind.DROP_BEFORE_COMMIT, FaultKind.HTTP_500, FaultKind.HTTP_429])
async def test_a_failed_read_is_unavailable_and_not_repeated_by_the_sdk(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, fault: FaultKind
) -> None:
    """C14: one fault, one failed call. Had the SDK asked again by itself, this would have succeeded."""
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_READ, fault, parcel=parcel.shipment_id, seconds=7)
    with pytest.raises(Unavailable) as caught:
        await labels.track(parcel.shipment_id)
    assert caught.value.retry_after == (7 if fault is FaultKind.HTTP_429 else None)
    assert (await labels.track(parcel.shipment_id)).group is GoodsGroup.NOT_HANDED_OVER


async def test_rate_limit_on_a_void_says_when_to_come_back(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    parcel = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await carrier_sandbox.add_fault(Operation.SHIPMENT_REFUND, FaultKind.HTTP_429, parcel=parcel.shipment_id, seconds=5)
    with pytest.raises(Unavailable) as caught:
        await labels.void(parcel.shipment_id)
    assert caught.value.retry_after == 5


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable):
        await EasyPostLabels(EASYPOST_KEY, f"http://127.0.0.1:{unused_tcp_port}/v2").track("shp_1")


async def test_a_label_that_easypost_does_not_know_is_refused_by_name(labels: EasyPostLabels) -> None:
    with pytest.raises(Refused, match="shp_nowhere") as caught:
        await labels.void("shp_nowhere")
    assert caught.value.code is ErrorCode.SHIPMENT_NOT_STOPPABLE


async def test_a_wrong_key_is_refused_without_showing_it(carrier_sandbox: CarrierAdmin) -> None:
    with pytest.raises(Refused) as caught:
        await EasyPostLabels("EZTK-other", carrier_sandbox.easypost_url).track("shp_1")
    assert caught.value.code is ErrorCode.PROVIDER_REJECTED_CREDENTIALS
    assert "EZTK" not in caught.value.message


async def test_buying_again_twice_under_one_key_makes_one_label(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels
) -> None:
    old = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    await labels.void(old.shipment_id)
    key = f"cancel-order-1/resume_shipment/{old.shipment_id}/1"
    new = await labels.buy_again(old.shipment_id, key=key)
    assert await labels.buy_again(old.shipment_id, key=key) == new
    assert new.label_reference != old.shipment_id
    assert new.tracking_number != old.tracking_number
    bought = await carrier_sandbox.effects(new.label_reference)
    assert [(effect.kind, effect.key) for effect in bought] == [(EffectKind.LABEL_BOUGHT, reference_for(key))]
    assert (await labels.track(new.label_reference)).label is LabelStatus.ACTIVE


@pytest.mark.parametrize("operation", [Operation.SHIPMENT_CREATE, Operation.SHIPMENT_BUY])
async def test_a_label_whose_answer_was_lost_is_found_by_its_key(
    carrier_sandbox: CarrierAdmin, labels: EasyPostLabels, operation: Operation
) -> None:
    old = await carrier_sandbox.parcel(Script.LABEL_ONLY)
    key = f"cancel-order-2/{operation}/{old.shipment_id}/1"
    await carrier_sandbox.add_fault(operation, FaultKind.DROP_AFTER_COMMIT)
    with pytest.raises(OutcomeUnknown):
        await labels.buy_again(old.shipment_id, key=key)
    new = await labels.buy_again(old.shipment_id, key=key)
    effects = [effect for effect in await carrier_sandbox.effects() if effect.key == reference_for(key)]
    assert [(effect.kind, effect.object) for effect in effects] == [(EffectKind.LABEL_BOUGHT, new.label_reference)]
