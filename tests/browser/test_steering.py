"""The work of a refund clerk, with nothing but the Temporal UI: each answer as the page of the run says it."""

from domain.outcome import Outcome
from domain.request import Actor
from sandbox.samples import TO_TRY
from sandbox.shop import request
from tests.browser.ui import Desk
from tests.observing import eventually

CLERK = "R-1"
STAFF = Actor.model_validate("customer_service:A-3")
ABOVE_LIMIT = TO_TRY[-1]


async def test_approve(narrow: Desk, wide: Desk) -> None:
    """And then the page of the run and the customers' mails, as docs/tour.md shows them."""
    await narrow.open_run("3001")
    await narrow.send("approve", (await narrow.copy_data("approve")).replace("…", CLERK))
    await narrow.expect_details("Order 3001 is cancelled as requested. card T1: 640.00 USD refunded")
    assert f"refund_department:{CLERK}: approved" in await narrow.read_details()
    result = await narrow.up.library.result("3001")
    assert (result.outcome, str(result.refunded)) == (Outcome.CANCELLED, "640.00 USD")
    await wide.open_run("3001")
    await wide.expect_details("Order 3001 is cancelled as requested.")
    await wide.take_picture("ui-end")

    async def all_mails_are_there() -> bool:
        await wide.page.goto(narrow.up.mails)
        shown = await wide.page.locator("tbody").inner_text()
        return "Your refund for order 3001" in shown and "Bestellung 3005" in shown

    await eventually(all_mails_are_there, "3001 is refunded, and the customer of 3005 reads German")
    await wide.take_picture("mails")


async def test_what_is_refused_is_one_sentence_and_then_refuse(narrow: Desk) -> None:
    """P2: no traceback, no path, and no word of a library."""
    order_id = ABOVE_LIMIT.order_id
    await narrow.up.library.start(request(ABOVE_LIMIT).model_copy(update={"actor": STAFF}))
    await narrow.open_run(order_id)
    own = (await narrow.copy_data("approve")).replace("refund_department:…", str(STAFF))
    resolve = '{"actor": "refund_department:R-1", "resolution": "done_by_hand", "reference": "…"}'
    for update, data, sentence in (
        ("approve", "", "The update approve takes one JSON object, as its description shows; nothing was sent."),
        ("approve", "{}", "The message cannot be read: actor: it is missing."),
        ("approve", '{"actor": "refund_department:"}', "The message cannot be read: actor.id: it is empty."),
        (
            "approve",
            await narrow.copy_data("approve"),
            "The message cannot be read: actor.id: an id is 1 to 64 letters, digits and signs of ASCII, without spaces.",
        ),
        (
            "resolve_step",
            resolve,
            "The message cannot be read: reference: it names no proof; a letter or a digit at least.",
        ),
        (
            "approve",
            own,
            f"{STAFF} asked for the cancellation of order {order_id} and cannot approve it; somebody else has to.",
        ),
    ):
        assert await narrow.send_refused(update, data) == sentence
    await narrow.send("reject", (await narrow.copy_data("reject")).replace("…", CLERK))
    await narrow.expect_details(f"refund_department:{CLERK}")
    assert "rolled back" in await narrow.read_details()
    assert (await narrow.up.library.result(order_id)).outcome is Outcome.ROLLED_BACK


async def test_withdraw(narrow: Desk) -> None:
    await narrow.open_run("3002")
    await narrow.send("withdraw", (await narrow.copy_data("withdraw")).replace("…", CLERK))
    await narrow.expect_details("withdrawn")
    assert (await narrow.up.library.result("3002")).outcome is Outcome.WITHDRAWN


async def test_retry_and_then_resolve(narrow: Desk) -> None:
    """The dispute is still open, so it waits again; then the bank decides it for the customer."""
    await narrow.open_run("3004")
    await narrow.send("retry_step", (await narrow.copy_data("retry_step")).replace("…", CLERK))
    await narrow.expect_details(f"refund_department:{CLERK}: retry")
    await narrow.expect_details("is disputed at the bank")
    answer = await narrow.copy_data("resolve_step", "dp_")
    await narrow.send("resolve_step", answer.replace("…", CLERK))
    await narrow.expect_details("Order 3004 is cancelled as requested. card T1: 64.00 USD refunded")
    result = await narrow.up.library.result("3004")
    assert (result.outcome, str(result.refunded)) == (Outcome.CANCELLED, "64.00 USD")


async def test_choose(narrow: Desk) -> None:
    await narrow.open_run("3005")
    chosen = await narrow.copy_data("choose_refund_method", "store_credit")
    await narrow.send("choose_refund_method", chosen.replace("…", CLERK))
    await narrow.expect_details("Order 3005 is cancelled as requested. card T1: 64.00 USD refunded")
    assert (await narrow.up.library.result("3005")).outcome is Outcome.CANCELLED
