"""The Temporal UI as a clerk uses it: the list, the page of a run, the dialog that sends an update."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import FrameLocator, Locator, Page, expect

from client.cancellations import Cancellations
from tests.observing import eventually

MISLEADING = (
    "Request Cancellation",
    "Terminate",
    "Reset",
    "Pause",
    "Unpause",
    "Send a Signal",
    "Start Workflow",
    "Start Workflow Like This One",
)
"""What acts without a name, or not as a clerk would expect."""


@dataclass(frozen=True)
class Up:
    """What `make up` has started and printed."""

    ui: str
    api: str
    mails: str
    links: Mapping[str, str]
    library: Cancellations


@dataclass(frozen=True)
class Desk:
    """One window. `pictures`: where to keep what it shows, for the documents."""

    page: Page
    up: Up
    pictures: Path | None = None

    async def take_picture(self, name: str) -> None:
        if self.pictures is not None:
            await self.page.screenshot(path=self.pictures / f"{name}.png", animations="disabled")

    async def open_list(self, link: str) -> None:
        await self.page.goto(link)
        await expect(self.page.get_by_role("columnheader", name="Workflow ID")).to_be_visible()

    async def read_rows(self) -> list[list[str]]:
        """The cells of the list, by row, without the empty one before them."""
        rows = await self.page.locator("tbody tr", has=self.page.get_by_role("link")).all()
        return [[text.strip() for text in (await row.locator("td").all_inner_texts())[1:]] for row in rows]

    async def open_run(self, order_id: str) -> None:
        """As from the list: its page, and what it says."""
        await self.page.goto(f"{self.up.ui}/namespaces/default/workflows/cancel-order-{order_id}")
        await self.page.get_by_role("tab", name="User Metadata").click()
        await expect(self.details.locator("body")).to_contain_text("cancellation can-")

    @property
    def details(self) -> FrameLocator:
        """What the run says of itself."""
        return self.page.frame_locator("iframe").last

    async def read_details(self) -> str:
        text: str = await self.details.locator("body").inner_text()
        return text

    async def expect_details(self, words: str) -> None:
        """The page shows the moment at which it was read: read it anew, as it says, until what was sent has had its
        effect."""

        async def says_so() -> bool:
            await self.page.keyboard.press("r")
            return words in " ".join((await self.read_details()).split())

        await eventually(says_so, f"the page says: {words}")

    async def copy_data(self, update: str, containing: str = "") -> str:
        """The line that the page gives for an update, and for one of its kinds."""
        way = self.details.locator("li", has=self.details.locator(f"strong:text-is('{update}')")).locator("code")
        line: str = await way.filter(has_text=containing).inner_text()
        return line

    async def open_dialog(self) -> Locator:
        await self.page.get_by_role("button", name="More Actions").click()
        await self.page.get_by_role("menuitem", name="Send an Update").click()
        dialog = self.page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        return dialog

    async def list_updates(self) -> dict[str, str]:
        """The description of each, as the dialog shows it."""
        dialog = await self.open_dialog()
        await dialog.get_by_test_id("update-select-button").click()
        await expect(dialog.get_by_role("option", name="approve")).to_be_visible()
        shown = [text.split("\n") for text in await dialog.get_by_role("option").all_inner_texts()]
        return {lines[0]: " ".join(lines[1:]).strip() for lines in shown}

    async def send(self, update: str, data: str) -> None:
        """Send an update, which is taken: the dialog closes then."""
        await self._submit(update, data)
        await expect(self.page.get_by_role("dialog")).to_be_hidden()

    async def send_refused(self, update: str, data: str) -> str:
        """Send an update, which is refused, and give up; returns what the dialog says."""
        dialog = await self._submit(update, data)
        refusal = dialog.get_by_role("alert").filter(has_text=re.compile(r"\S"))
        await expect(refusal).to_be_visible()
        sentence: str = (await refusal.inner_text()).strip()
        await dialog.get_by_test_id("cancel-modal-button").click()
        return sentence

    async def _submit(self, update: str, data: str) -> Locator:
        dialog = await self.open_dialog()
        await dialog.get_by_test_id("update-select-button").click()
        await dialog.get_by_role("option", name=update).click()
        if data:
            field = dialog.get_by_role("textbox", name="Data")
            await field.fill(data)
            await field.blur()  # the field arranges what it holds when it is left, and the button moves
        await dialog.get_by_role("button", name="Submit").click()
        return dialog
