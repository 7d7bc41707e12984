"""How a shipment is stopped, by where the carrier says that it is."""

import pytest

from domain.shipment import GoodsGroup, LabelStatus, Shipment, Stop, StopAction, StopStatus, Tracking
from domain.stopping import NextStop, intercepted, is_watched, leaves_although_stopped, moves_again, next_stop
from domain.terms import RefundIntercepted
from tests.domain.build import parcel

LABELLED = parcel("S1", L1=1)
IN_WAREHOUSE = LABELLED.model_copy(update={"label_reference": None})
GIFT_CARD = LABELLED.model_copy(update={"gift_card": "card-1"})
ASKED = Stop(shipment_id="S1", action=StopAction.INTERCEPT, status=StopStatus.REQUESTED, reference="int-1")


def tracking(group: GoodsGroup, label: LabelStatus = LabelStatus.ACTIVE) -> Tracking:
    return Tracking(group=group, label=label)


@pytest.mark.parametrize(
    ("shipment", "where", "answer"),
    [
        (GIFT_CARD, tracking(GoodsGroup.NOT_HANDED_OVER), NextStop.DEACTIVATE_GIFT_CARD),
        (IN_WAREHOUSE, None, NextStop.WITHDRAW_PICK),
        (IN_WAREHOUSE.model_copy(update={"group": GoodsGroup.NOT_HANDED_OVER}), None, NextStop.WITHDRAW_PICK),
        (IN_WAREHOUSE.model_copy(update={"group": GoodsGroup.IN_NETWORK}), None, StopStatus.DECLINED),
        (IN_WAREHOUSE.model_copy(update={"group": GoodsGroup.DELIVERED}), None, StopStatus.DECLINED),
        (LABELLED.model_copy(update={"group": GoodsGroup.IN_NETWORK}), None, NextStop.WITHDRAW_PICK),
        (LABELLED, None, NextStop.WITHDRAW_PICK),
        (LABELLED, tracking(GoodsGroup.NOT_HANDED_OVER), NextStop.VOID_LABEL),
        (LABELLED, tracking(GoodsGroup.UNKNOWN), NextStop.VOID_LABEL),
        (LABELLED, tracking(GoodsGroup.NOT_HANDED_OVER, LabelStatus.VOID_SUBMITTED), NextStop.VOID_LABEL),
        (LABELLED, tracking(GoodsGroup.NOT_HANDED_OVER, LabelStatus.VOID_REJECTED), NextStop.REQUEST_INTERCEPT),
        (LABELLED, tracking(GoodsGroup.IN_NETWORK), NextStop.REQUEST_INTERCEPT),
        (LABELLED, tracking(GoodsGroup.LAST_MILE), StopStatus.DECLINED),
        (LABELLED, tracking(GoodsGroup.DELIVERED), StopStatus.DECLINED),
        (LABELLED, tracking(GoodsGroup.COMING_BACK), StopStatus.COMING_BACK),
        (LABELLED, tracking(GoodsGroup.RETURNED), StopStatus.COMING_BACK),
        (LABELLED, tracking(GoodsGroup.LOST), StopStatus.LOST),
        (LABELLED.model_copy(update={"tracking_number": None}), tracking(GoodsGroup.IN_NETWORK), StopStatus.DECLINED),
        (LABELLED.model_copy(update={"carrier": "DHL"}), tracking(GoodsGroup.IN_NETWORK), StopStatus.DECLINED),
    ],
)
def test_a_shipment_is_stopped_by_where_it_is(
    shipment: Shipment, where: Tracking | None, answer: NextStop | StopStatus
) -> None:
    """C3, C4, C6, C8, C12"""
    found = next_stop(shipment, where)
    assert (found.status if isinstance(found, Stop) else found) is answer


@pytest.mark.parametrize("group", GoodsGroup)
@pytest.mark.parametrize("label", LabelStatus)
def test_a_parcel_with_goods_that_stay_in_it_is_never_intercepted(group: GoodsGroup, label: LabelStatus) -> None:
    """C10: it would bring back what the customer keeps. Otherwise it is stopped like any other."""
    alone = next_stop(LABELLED, tracking(group, label))
    answer = next_stop(LABELLED, tracking(group, label), shared=True)
    if alone is NextStop.REQUEST_INTERCEPT:
        assert isinstance(answer, Stop)
        assert (answer.status, answer.detail) == (StopStatus.DECLINED, "goods that stay in the order are in it too")
    else:
        assert answer == alone


@pytest.mark.parametrize("group", GoodsGroup)
@pytest.mark.parametrize("label", LabelStatus)
def test_a_void_that_was_rejected_is_not_asked_for_again(group: GoodsGroup, label: LabelStatus) -> None:
    """Whatever tracking says, there is an answer; and after a rejected void it is another one."""
    answer = next_stop(LABELLED, tracking(group, label))
    assert answer is not NextStop.VOID_LABEL or label is not LabelStatus.VOID_REJECTED


@pytest.mark.parametrize(
    ("group", "counts", "status"),
    [
        (GoodsGroup.RETURNED, RefundIntercepted.ON_RECEIPT, StopStatus.COMING_BACK),
        (GoodsGroup.COMING_BACK, RefundIntercepted.ON_RECEIPT, StopStatus.REQUESTED),
        (GoodsGroup.COMING_BACK, RefundIntercepted.ON_RETURN_SCAN, StopStatus.COMING_BACK),
        (GoodsGroup.DELIVERED, RefundIntercepted.ON_RETURN_SCAN, StopStatus.DECLINED),
        (GoodsGroup.LOST, RefundIntercepted.ON_RECEIPT, StopStatus.LOST),
        (GoodsGroup.IN_NETWORK, RefundIntercepted.ON_RETURN_SCAN, StopStatus.REQUESTED),
        (GoodsGroup.LAST_MILE, RefundIntercepted.ON_RETURN_SCAN, StopStatus.REQUESTED),
    ],
)
def test_an_intercept_counts_by_what_the_policy_waits_for(
    group: GoodsGroup, counts: RefundIntercepted, status: StopStatus
) -> None:
    """C6, C7"""
    stop = intercepted(ASKED, tracking(group), counts)
    assert stop.status is status
    assert stop.reference == ASKED.reference
    assert (stop == ASKED) is (status is StopStatus.REQUESTED)


@pytest.mark.parametrize(
    ("action", "status", "group", "moves"),
    [
        (StopAction.VOID_LABEL, StopStatus.STOPPED, GoodsGroup.IN_NETWORK, True),
        (StopAction.VOID_LABEL, StopStatus.STOPPED, GoodsGroup.DELIVERED, True),
        (StopAction.VOID_LABEL, StopStatus.STOPPED, GoodsGroup.NOT_HANDED_OVER, False),
        (StopAction.INTERCEPT, StopStatus.REQUESTED, GoodsGroup.IN_NETWORK, False),
        (StopAction.INTERCEPT, StopStatus.COMING_BACK, GoodsGroup.LAST_MILE, True),
        (StopAction.INTERCEPT, StopStatus.COMING_BACK, GoodsGroup.RETURNED, False),
        (StopAction.VOID_LABEL, StopStatus.DECLINED, GoodsGroup.DELIVERED, False),
        (StopAction.VOID_LABEL, StopStatus.MOVING, GoodsGroup.DELIVERED, False),
        (StopAction.INTERCEPT, StopStatus.COMING_BACK, GoodsGroup.IN_NETWORK, False),
        (StopAction.INTERCEPT, StopStatus.LOST, GoodsGroup.IN_NETWORK, True),
        (StopAction.INTERCEPT, StopStatus.LOST, GoodsGroup.LOST, False),
        (StopAction.WITHDRAW_PICK, StopStatus.STOPPED, GoodsGroup.IN_NETWORK, False),
        (StopAction.NONE, StopStatus.STOPPED, GoodsGroup.IN_NETWORK, False),
        (StopAction.NONE, StopStatus.STOPPED, GoodsGroup.DELIVERED, True),
        (StopAction.NONE, StopStatus.COMING_BACK, GoodsGroup.DELIVERED, False),
        (StopAction.NONE, StopStatus.LOST, GoodsGroup.DELIVERED, False),
    ],
)
def test_a_parcel_that_counts_as_stopped_is_noticed_when_it_moves(
    action: StopAction, status: StopStatus, group: GoodsGroup, moves: bool
) -> None:
    """I2: what a person has stopped stays stopped until it is delivered; what they have fetched or written off, whatever
    tracking says."""
    assert moves_again(Stop(shipment_id="S1", action=action, status=status), tracking(group)) is moves


@pytest.mark.parametrize("action", StopAction)
@pytest.mark.parametrize("status", StopStatus)
def test_only_a_parcel_that_counts_as_stopped_is_watched(action: StopAction, status: StopStatus) -> None:
    """I2: whatever may be seen to move again is looked at again."""
    stop = Stop(shipment_id="S1", action=action, status=status)
    moves = any(moves_again(stop, tracking(group)) for group in GoodsGroup)
    assert is_watched(stop) is moves
    assert not (moves and status in {StopStatus.DECLINED, StopStatus.MOVING})


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        (LabelStatus.ACTIVE, NextStop.REQUEST_INTERCEPT),
        (LabelStatus.VOID_SUBMITTED, StopStatus.DECLINED),
        (LabelStatus.VOIDED, StopStatus.DECLINED),
    ],
)
def test_a_parcel_that_has_left_since_is_with_its_carrier_although_tracking_does_not_show_it(
    label: LabelStatus, answer: NextStop | StopStatus
) -> None:
    """E20: by a label that is void nobody stops it any more."""
    found = next_stop(LABELLED, tracking(GoodsGroup.NOT_HANDED_OVER, label), left_since=True)
    assert (found.status if isinstance(found, Stop) else found) is answer


@pytest.mark.parametrize(
    ("action", "status", "group", "leaves"),
    [
        (StopAction.VOID_LABEL, StopStatus.STOPPED, GoodsGroup.IN_NETWORK, True),
        (StopAction.WITHDRAW_PICK, StopStatus.STOPPED, GoodsGroup.DELIVERED, True),
        (StopAction.VOID_LABEL, StopStatus.STOPPED, GoodsGroup.NOT_HANDED_OVER, False),
        (StopAction.VOID_LABEL, StopStatus.STOPPED, None, False),
        (StopAction.VOID_LABEL, StopStatus.DECLINED, GoodsGroup.IN_NETWORK, False),
        (StopAction.INTERCEPT, StopStatus.COMING_BACK, GoodsGroup.IN_NETWORK, False),
        (StopAction.NONE, StopStatus.STOPPED, GoodsGroup.IN_NETWORK, False),
        (StopAction.NONE, StopStatus.STOPPED, GoodsGroup.DELIVERED, True),
    ],
)
def test_what_the_oms_says_of_a_parcel_counts_where_it_was_stopped_in_the_warehouse(
    action: StopAction, status: StopStatus, group: GoodsGroup | None, leaves: bool
) -> None:
    """A person's word stands until the parcel is delivered, and of one with a carrier the carrier knows more."""
    stop = Stop(shipment_id="S1", action=action, status=status)
    assert leaves_although_stopped(stop, LABELLED.model_copy(update={"group": group})) is leaves
