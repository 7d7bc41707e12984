"""What a clerk sees in the Temporal UI of `make up`, at both widths: the words, and that none of them is cut off."""

import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, expect

from sandbox.temporal_ui import COLUMNS
from tests.browser.conftest import WIDE
from tests.browser.ui import MISLEADING, Desk

WAITS = {
    "3001": ["waiting_for_approval", "second_person"],
    "3002": ["waiting_for_carrier", "carrier"],
    "3003": ["waiting_for_settlement", "gateway"],
    "3004": ["needs_attention", "refund_department"],
    "3005": ["needs_attention", "refund_department"],
}
"""What `make up` leaves waiting, and for whom."""


async def assert_not_cut_off(desk: Desk, shown: Locator) -> None:
    """It lies within the window, and all of its text within it."""
    box = await shown.bounding_box()
    size = desk.page.viewport_size
    assert box is not None
    assert size is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size["width"]
    assert await shown.evaluate("shown => shown.scrollWidth <= shown.clientWidth + 1"), await shown.inner_text()


async def test_the_list_shows_state_owner_due_time_amount_money_and_goods(desk: Desk) -> None:
    """Without scrolling: at 1024 pixels the state, and who has to act until when; at 1440 all but the goods."""
    await desk.open_list(desk.up.links["Temporal UI"])
    headers = desk.page.get_by_role("columnheader")
    assert [name.strip() for name in await headers.all_inner_texts() if name.strip()] == list(COLUMNS)
    rows = {row[0]: row for row in reversed(await desk.read_rows())}  # of an order that was opened again, the latest
    for order_id, shown in WAITS.items():
        assert rows[f"cancel-order-{order_id}"][1:3] == shown
        assert re.search(r"\d, 20\d\d", rows[f"cancel-order-{order_id}"][3]), "the due time"
    assert rows["cancel-order-1001"][1:] == ["cancelled", "", "", "64.00 USD", "released", "never_handed_over"]
    seen = COLUMNS[:6] if desk.page.viewport_size and desk.page.viewport_size["width"] == WIDE else COLUMNS[:4]
    row = desk.page.locator("tbody tr", has_text="cancel-order-3004")
    for at, name in enumerate(seen):
        await assert_not_cut_off(desk, desk.page.get_by_role("columnheader", name=name, exact=True))
        await assert_not_cut_off(desk, row.locator("td").nth(at + 1))
    await desk.take_picture("ui-list")


async def test_each_printed_link_shows_its_own(desk: Desk) -> None:
    await desk.open_list(desk.up.links["what waits"])
    await expect(desk.page.get_by_role("link", name="cancel-order-")).to_have_count(len(WAITS))
    await desk.take_picture("ui-waits")
    await desk.open_list(desk.up.links["for refunds"])
    assert sorted(row[0][-4:] for row in await desk.read_rows()) == ["3004", "3005"]
    await desk.page.goto(desk.up.links["overdue"])
    await expect(desk.page.get_by_text("No Workflows", exact=False).first).to_be_visible()
    query = parse_qs(urlsplit(desk.page.url).query)["query"][0]
    at = re.search(r"DueAt < '([^']+)'", query)
    assert at is not None
    assert abs((datetime.fromisoformat(at[1]) - datetime.now(UTC)).total_seconds()) < 60, "overdue by now"


async def test_the_saved_views_leave_out_quotes(desk: Desk) -> None:
    await desk.open_list(f"{desk.up.ui}/namespaces/default/workflows")
    await desk.page.get_by_test_id("saved-views-button").click()
    await desk.page.get_by_text("Refund department", exact=True).click()
    await expect(desk.page.get_by_role("link", name="cancel-order-")).to_have_count(2)
    await desk.open_list(desk.up.links["Temporal UI"])
    assert not [row for row in await desk.read_rows() if row[0].startswith("quote-order-")]


async def assert_nothing_misleads(desk: Desk) -> None:
    """What acts without a name is not there, or switched off."""
    for name in MISLEADING:
        for role in ("button", "menuitem"):
            found = desk.page.get_by_role(role, name=re.compile(rf"^{name}\b"))
            for button in await found.all():
                off = await button.get_attribute("aria-disabled") == "true" or await button.is_disabled()
                assert off, f"{name} at {desk.page.url}"


async def test_no_button_misleads(desk: Desk) -> None:
    await desk.open_list(desk.up.links["Temporal UI"])
    await assert_nothing_misleads(desk)
    assert await desk.page.locator("table").get_by_role("checkbox").count() == 0, "no batch actions"
    await desk.open_run("3001")
    await expect(desk.page.get_by_role("button", name="Request Cancellation")).to_be_disabled()
    await assert_nothing_misleads(desk)
    await desk.page.get_by_role("button", name="More Actions").click()
    await expect(desk.page.get_by_role("menuitem", name="Send an Update")).to_be_enabled()
    await assert_nothing_misleads(desk)
    await desk.open_run("3002")
    await desk.page.get_by_role("tab", name="Pending Activities").click()
    await expect(desk.page.get_by_text("Activity ID").first).to_be_visible()
    await assert_nothing_misleads(desk)
    await desk.open_run("1001")
    await assert_nothing_misleads(desk)
    await expect(desk.page.get_by_role("button", name="More Actions")).to_be_disabled()


PAGES = {
    "3001": (
        "waiting for approval",
        "Requested by customer:C-3001",
        "whole order, no longer needed.",
        "card T1: 640.00 USD to be refunded",
        "Waits for second person, due",
        "A second person has to approve.",
        "approve: Go on. Whoever requested it cannot approve it.",
        "reject: Refuse it, and undo what was done.",
        "withdraw: The customer wants to keep the order.",
    ),
    "3002": (
        "waiting for carrier",
        "Waits for carrier, due",
        "Nothing has to be done: this is looked at again by itself.",
        "resolve_step: The parcel is stopped; the proof says how.",
        "resolve_step: The parcel goes on to the customer; the proof says who decided so.",
        "resolve_step: Undo the whole cancellation; the proof says who decided so.",
    ),
    "3003": (
        "waiting for settlement",
        "marketplace T1: 64.00 USD on its way to the customer",
        "The marketplace has taken the refund; the money has not settled yet.",
        "Nothing has to be done: this is looked at again by itself.",
    ),
    "3004": (
        "needs attention",
        "Waits for refund department, due",
        "is disputed at the bank (dispute dp_",
        "refunding now could pay twice.",
        "retry_step: Try it again now.",
        "resolve_step: The bank pays the customer by dispute dp_",
        "resolve_step: The customer has the money another way; the proof says how.",
        "resolve_step: Nothing is owed to the customer any more; the proof says who decided so.",
    ),
    "3005": (
        "Ask the customer how they want the money",
        "choose_refund_method: The customer chooses store credit.",
        "choose_refund_method: The customer chooses bank transfer.",
    ),
}
NOT_OFFERED = {
    "3003": ("nothing_due", "roll_back", "withdraw"),
    "3004": ("choose_refund_method",),
    "3005": ("nothing_due", "roll_back", "withdraw"),
}
"""What would be refused: the order is closed, and its credit note says what is due."""


@pytest.mark.parametrize("order_id", PAGES)
async def test_the_page_of_a_run_says_why_it_waits_and_what_may_be_sent(desk: Desk, order_id: str) -> None:
    await desk.open_run(order_id)
    said = " ".join((await desk.read_details()).split())
    assert [words for words in PAGES[order_id] if words not in said] == []
    assert [words for words in NOT_OFFERED.get(order_id, ()) if words in said] == []
    assert "send an update: More Actions, Send an Update" in said
    for line in await desk.details.locator("li code").all_inner_texts():
        if line.startswith("{"):
            assert json.loads(line)["actor"] == "refund_department:…"
    await assert_page_fits(desk)
    if order_id == "3001":
        await desk.take_picture("ui-run")


ENDED = {
    "1001": ("cancelled", "Order 1001 is cancelled as requested.", "card T1: 64.00 USD released"),
    "1007": ("rejected", "The goods of order 1007 are with the customer"),
    "1015": ("card T1: 640.00 USD refunded", "refund_department:supervisor-2: approved"),
    "1017": ("rolled back", "risk:analyst-5"),
}


@pytest.mark.parametrize("order_id", ENDED)
async def test_the_page_of_an_ended_run_says_what_happened_and_no_more(desk: Desk, order_id: str) -> None:
    """P3: nothing that is no longer true."""
    await desk.open_run(order_id)
    said = " ".join((await desk.read_details()).split())
    assert [words for words in ENDED[order_id] if words not in said] == []
    untrue = ("Waits for", "To answer", "to be refunded", "to be released", "on its way", "has to approve", "{")
    assert [words for words in untrue if words in said] == []
    await assert_page_fits(desk)


async def assert_page_fits(desk: Desk) -> None:
    """Nothing lies beyond the right edge, and no button upon another or upon the title."""
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert await desk.page.evaluate(fits)
    assert await desk.details.locator("body").evaluate(f"() => {fits}")
    boxes = []
    for shown in (
        desk.page.get_by_role("heading", level=1),
        desk.page.get_by_role("button", name=re.compile("^(Request Cancellation|Reset)$")),
        desk.page.get_by_role("button", name="More Actions"),
    ):
        await assert_not_cut_off(desk, shown)
        box = await shown.bounding_box()
        assert box is not None
        boxes.append(box)
    for at, box in enumerate(boxes):
        for other in boxes[at + 1 :]:
            beside = box["x"] + box["width"] <= other["x"] or other["x"] + other["width"] <= box["x"]
            assert beside or box["y"] + box["height"] <= other["y"] or other["y"] + other["height"] <= box["y"]


async def test_each_update_has_a_description_with_json_to_copy(desk: Desk) -> None:
    await desk.open_run("3001")
    described = await desk.list_updates()
    assert set(described) >= {
        "approve",
        "reject",
        "withdraw",
        "retry_step",
        "resolve_step",
        "choose_refund_method",
        "submit",
    }
    for name in ("approve", "reject", "withdraw", "retry_step", "resolve_step", "choose_refund_method"):
        words, brace, rest = described[name].partition("{")
        assert words.strip().endswith("."), name
        assert json.loads(brace + rest)["actor"].endswith(":…"), name
    for option in await desk.page.get_by_role("dialog").get_by_role("option").all():
        assert await option.evaluate("shown => shown.scrollWidth <= shown.clientWidth + 1"), await option.inner_text()
    dialog = await desk.page.get_by_role("dialog").bounding_box()
    size = desk.page.viewport_size
    assert dialog is not None
    assert size is not None
    assert dialog["x"] >= 0
    assert dialog["x"] + dialog["width"] <= size["width"]
