"""Orders in Vendure, where a real shop does not do on demand what is tested (tests/integrations/vendure has one)."""

import asyncio
import json
import time
from typing import Any

import pytest

from domain.closing import ClosedLine, Closing
from domain.errors import ErrorCode, OutcomeUnknown, Refused, Unavailable
from domain.keys import EffectKey, cancellation_id
from domain.step import StepName
from providers.orders.vendure import order_lock
from providers.orders.vendure.order_lock import lock_order
from providers.orders.vendure.orders import VendureOrders
from providers.orders.vendure.shop_file import ShopFile
from tests.providers.vendure.scripted import NO_PLUGIN, Reply, ScriptedVendure, error, recorded, vendure_at

PLUGIN = json.dumps({"data": {"orderCancellationPlugin": {"version": "1.0.0"}}})
KEY = EffectKey(cancellation_id("O-1", "R-1"), StepName.CLOSE_ORDER, "O-1")
ONE_CHAIR = Closing(lines=(ClosedLine(line_id="7", quantity=1, shipment_id=None, gone_before=0),))


def placed(**changes: Any) -> str:
    answer = json.loads(recorded("order_as_placed"))
    answer["data"]["orders"]["items"][0] |= {"code": "O-1", **changes}
    return json.dumps(answer)


def result(**fields: str) -> Reply:
    return Reply(json.dumps({"data": {"result": fields}}))


async def test_a_plugin_that_is_away_is_waited_for() -> None:
    """Without it a review for fraud, and that the order is held, would not be seen."""
    gone = [Reply(NO_PLUGIN, 400)] * 2
    vendure = ScriptedVendure([Reply(PLUGIN), *gone, *gone, Reply(placed())])
    async with vendure_at(vendure) as api:
        orders = VendureOrders(api, ShopFile())
        for _ in range(2):
            with pytest.raises(Unavailable, match="does not have this product's plugin any more"):
                await orders.read("O-1")
        assert (await orders.read("O-1")).order_id == "O-1"


async def test_a_write_that_needs_the_plugin_has_not_happened_without_it() -> None:
    vendure = ScriptedVendure([Reply(PLUGIN), Reply(placed()), Reply(NO_PLUGIN, 400)])
    async with vendure_at(vendure) as api:
        with pytest.raises(Unavailable, match="does not have this product's plugin any more"):
            await VendureOrders(api, ShopFile()).close("O-1", ONE_CHAIR, None, key=KEY)


@pytest.mark.parametrize("script", [[NO_PLUGIN], [NO_PLUGIN, placed(), placed()]], ids=["read", "cancelOrder"])
async def test_a_vendure_that_knows_other_fields_is_a_matter_of_the_settings(script: list[str]) -> None:
    """What it does not know is Vendure's own, and no call of the plugin."""
    replies = [Reply(body, 400 if body == NO_PLUGIN else 200) for body in [*script, NO_PLUGIN]]
    async with vendure_at(ScriptedVendure(replies)) as api:
        with pytest.raises(Refused, match=r"differs from version 3\.7") as refused:
            await VendureOrders(api, ShopFile()).close("O-1", ONE_CHAIR, None, key=KEY)
    assert refused.value.code is ErrorCode.PROVIDER_REJECTED_SETTINGS


async def test_a_plugin_of_another_version_is_refused_before_anything_is_asked_of_it() -> None:
    vendure = ScriptedVendure([Reply(PLUGIN.replace("1.0.0", "2.0.0"))] * 2)
    async with vendure_at(vendure) as api:
        orders = VendureOrders(api, ShopFile())
        for call in (orders.thaw("O-1", key=KEY), orders.list_findings()):
            with pytest.raises(Refused, match=r"version 2\.0\.0 of this product's plugin, and version 1 is") as refused:
                await call
            assert refused.value.code is ErrorCode.PROVIDER_REJECTED_SETTINGS


async def test_what_vendure_says_of_a_hold_that_it_refuses_is_told() -> None:
    """And not that there were no such order."""
    no = Reply(error("ILLEGAL_OPERATION", "Orders of this channel are read-only."))
    async with vendure_at(ScriptedVendure([Reply(NO_PLUGIN, 400), Reply(placed())])) as api:
        seen = await VendureOrders(api, ShopFile()).read("O-1")
    async with vendure_at(ScriptedVendure([Reply(PLUGIN), Reply(placed()), no, Reply(placed())])) as api:
        with pytest.raises(Refused, match=r"freezing order O-1: Orders of this channel are read-only\. Put") as refused:
            await VendureOrders(api, ShopFile()).freeze(seen, key=KEY)
    assert refused.value.code is ErrorCode.PROVIDER_REJECTED_SETTINGS


async def test_an_order_that_staff_opens_in_the_moment_of_its_freeze_is_waited_for() -> None:
    """The plugin holds none that is being modified."""
    no = Reply(error("ILLEGAL_OPERATION", "Order O-1 is being modified and cannot be held."))
    opened = Reply(placed(state="Modifying", nextStates=["PaymentSettled"]))
    async with vendure_at(ScriptedVendure([Reply(NO_PLUGIN, 400), Reply(placed())])) as api:
        seen = await VendureOrders(api, ShopFile()).read("O-1")
    async with vendure_at(ScriptedVendure([Reply(PLUGIN), Reply(placed()), no, opened])) as api:
        with pytest.raises(Unavailable, match="O-1 is Modifying in Vendure"):
            await VendureOrders(api, ShopFile()).freeze(seen, key=KEY)


@pytest.mark.parametrize("changes", [{"orderPlacedAt": None}, {"code": "o-1"}], ids=["a_basket", "another_code"])
async def test_a_basket_and_an_order_with_a_similar_code_are_not_found(changes: dict[str, str | None]) -> None:
    """Some databases compare without regard to case."""
    async with vendure_at(ScriptedVendure([Reply(NO_PLUGIN, 400), Reply(placed(**changes))])) as api:
        with pytest.raises(Refused, match="O-1") as refused:
            await VendureOrders(api, ShopFile()).read("O-1")
    assert refused.value.code is ErrorCode.ORDER_NOT_FOUND


async def test_a_long_history_is_read_to_its_end() -> None:
    """Units that staff has added and cancelled are in it."""

    def page(*units: int) -> Reply:
        entry = {"type": "ORDER_CANCELLATION"}
        items = [{**entry, "data": {"lines": [{"orderLineId": 7, "quantity": count}]}} for count in units]
        return Reply(placed(history={"totalItems": 3, "items": items}))

    vendure = ScriptedVendure([Reply(NO_PLUGIN, 400), page(1, 2), page(4)])
    async with vendure_at(vendure) as api:
        chairs = (await VendureOrders(api, ShopFile()).read("O-1")).lines[0]
    assert (chairs.quantity, chairs.cancelled) == (10, 7)


async def test_a_line_that_became_shorter_meanwhile_is_read_again() -> None:
    shorter = json.loads(placed())
    shorter["data"]["orders"]["items"][0]["lines"][0]["quantity"] = 2
    vendure = ScriptedVendure(
        [
            *(Reply(NO_PLUGIN, 400), Reply(placed()), Reply(placed())),
            *(result(errorCode="QUANTITY_TOO_GREAT_ERROR", message="too many"), Reply(json.dumps(shorter))),
        ]
    )
    async with vendure_at(vendure) as api:
        await VendureOrders(api, ShopFile()).close("O-1", ONE_CHAIR, None, key=KEY)
    assert not vendure.script, "the target is reached, and nothing more is asked for"


async def test_a_refusal_after_lines_have_left_is_no_refusal() -> None:
    """Vendure takes the lines out, and says that the order cannot become cancelled."""
    no = result(errorCode="ORDER_STATE_TRANSITION_ERROR", message="It is locked.")
    async with vendure_at(ScriptedVendure([Reply(NO_PLUGIN, 400), Reply(placed()), Reply(placed()), no])) as api:
        with pytest.raises(OutcomeUnknown, match="It is locked"):
            await VendureOrders(api, ShopFile()).close("O-1", ONE_CHAIR, None, key=KEY)


async def test_what_is_done_and_cannot_be_looked_at_may_have_happened() -> None:
    """The order is held, and the pick is cancelled: only the look afterwards has failed."""
    pick = placed(fulfillments=[{"id": "9", "state": "Pending", "method": "", "lines": []}])
    held = [Reply(PLUGIN), Reply(placed()), Reply('{"data": {"result": "HELD"}}'), Reply("", 502)]
    withdrawn = [Reply(NO_PLUGIN, 400), Reply(pick), result(), Reply("", 502)]
    async with vendure_at(ScriptedVendure([Reply(NO_PLUGIN, 400), Reply(placed())])) as api:
        seen = await VendureOrders(api, ShopFile()).read("O-1")
    async with vendure_at(ScriptedVendure(held)) as api:
        with pytest.raises(OutcomeUnknown, match="is held in Vendure"):
            await VendureOrders(api, ShopFile()).freeze(seen, key=KEY)
    async with vendure_at(ScriptedVendure(withdrawn)) as api:
        with pytest.raises(OutcomeUnknown, match="is cancelled in Vendure"):
            await VendureOrders(api, ShopFile()).withdraw_pick("O-1", "9", key=KEY)


async def test_a_no_of_vendure_is_a_sentence_to_act_on() -> None:
    no = Reply(error("USER_INPUT_ERROR", "Order O-1 is locked."))
    async with vendure_at(ScriptedVendure([Reply(PLUGIN), *[Reply(placed()), no] * 4])) as api:
        orders = VendureOrders(api, ShopFile())
        for call, code in (
            (orders.thaw("O-1", key=KEY), ErrorCode.ORDER_LOCKED),
            (orders.note_given_back("O-1", [], key=KEY), ErrorCode.ORDER_LOCKED),
            (orders.close("O-1", ONE_CHAIR, None, key=KEY), ErrorCode.ORDER_LOCKED),
            (orders.replace_payment("O-1", "5", "pi_2", key=KEY), ErrorCode.PAYMENT_NOT_FOUND),
        ):
            with pytest.raises(Refused, match=r"Order O-1 is locked\. Put that right there, then retry") as refused:
                await call
            assert refused.value.code is code


async def test_whoever_is_cancelled_waits_for_the_call_that_was_sent() -> None:
    began, answered, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call() -> None:
        began.set()
        await answered.wait()
        ended.set()

    async def attempt() -> None:
        async with lock_order("shop", "O-1") as lock:
            await lock.finish(call())

    async def next_attempt() -> bool:
        async with lock_order("shop", "O-1"):
            return ended.is_set()

    first = asyncio.create_task(attempt())
    await began.wait()
    second = asyncio.create_task(next_attempt())
    first.cancel()
    await asyncio.sleep(0)
    first.cancel()
    async with lock_order("shop", "O-2"):
        answered.set()
    assert await second, "another order has a lock of its own"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_after_an_answer_that_was_lost_the_next_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_lock, "_SETTLE_SECONDS", 0.05)

    async def lose() -> None:
        raise OutcomeUnknown("lost")

    with pytest.raises(OutcomeUnknown):
        async with lock_order("shop", "O-1") as lock:
            await lock.finish(lose())
    async with lock_order("shop", "O-1") as lock:
        assert 0 < lock.not_before <= time.monotonic()


def picks(*states: tuple[str, str, int]) -> list[dict[str, Any]]:
    return [
        {"id": id_, "state": state, "method": "pick", "lines": [{"orderLineId": "7", "quantity": units}]}
        for id_, state, units in states
    ]


async def test_of_a_withdrawn_pick_only_what_nobody_has_packed_anew_is_packed_again() -> None:
    """Of three units, two were withdrawn, and staff has packed one or all of them since."""
    resumed = EffectKey(KEY.cancellation_id, StepName.RESUME_SHIPMENT, "1")
    packed = placed(fulfillments=picks(("1", "Cancelled", 2), ("2", "Pending", 3)))
    async with vendure_at(ScriptedVendure([Reply(NO_PLUGIN, 400), Reply(packed)])) as api:
        await VendureOrders(api, ShopFile()).resume_pick("O-1", "1", key=resumed)  # nothing is asked of Vendure
    partly = placed(fulfillments=picks(("1", "Cancelled", 2), ("2", "Pending", 2)))
    vendure = ScriptedVendure([Reply(NO_PLUGIN, 400), Reply(partly), result()])
    async with vendure_at(vendure) as api:
        await VendureOrders(api, ShopFile()).resume_pick("O-1", "1", key=resumed)
    assert vendure.variables[-1]["input"]["lines"] == [{"orderLineId": "7", "quantity": 1}]
