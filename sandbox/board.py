"""What the demo shows: the timelines while it runs, the closing table and the proof. On a terminal of 80 columns, too."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from client.layout import Rows
from client.views import MARKS, News, given_back
from domain.outcome import CancellationResult, Outcome
from domain.step import StepName, StepRow
from runtime.texts import words_of as words
from sandbox.proof import Proof
from sandbox.samples import Ending, Sample

_VERBS = {
    StepName.VERIFY_ORDER: "verify",
    StepName.STOP_SHIPMENT: "stop",
    StepName.REVERSE_PAYMENT: "reverse",
    StepName.CREDIT_REFUND: "credit",
    StepName.CLOSE_ORDER: "close",
    StepName.CLOSE_CANCELLATION: "end",
    StepName.GIVE_STORE_CREDIT: "store credit",
    StepName.RELEASE_ORDER: "release",
    StepName.RESUME_SHIPMENT: "resume",
    StepName.RESTORE_PAYMENT: "restore",
    StepName.REVOKE_REFUND: "revoke",
}
_OUTCOMES = {
    Outcome.CANCELLED: "green",
    Outcome.PARTIALLY_CANCELLED: "green",
    Outcome.REJECTED: "red",
    Outcome.WITHDRAWN: "magenta",
    Outcome.ROLLED_BACK: "magenta",
}
_REMARKS_SHOWN = 5
_ROOMY = 118
"""Columns from which on each order has its whole timeline, and one line in the closing table."""


class Board:
    """Keeps the latest news of each order, and what was remarked. On a terminal it is drawn anew all the time; elsewhere
    each change becomes a line."""

    def __init__(self, samples: Sequence[Sample], console: Console) -> None:
        self.console = console
        self._samples = samples
        self._news: dict[str, News] = {}
        self._remarks: list[str] = []
        self._printed: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self._began = time.monotonic()

    def live(self) -> Live:
        """Draws the board while it is entered; does nothing where there is no terminal to draw on."""
        return Live(self if self.console.is_terminal else "", console=self.console, refresh_per_second=8)

    def show(self, sample: Sample, news: News) -> None:
        if news.steps or isinstance(news, CancellationResult):  # without a worker only a part is known: keep the rest
            self._news[sample.order_id] = news
            self._changed.set()
        if self.console.is_terminal:
            return
        for step in news.steps:
            self._print_line(sample.order_id, " ".join(filter(None, (_step(step), words(step.status), step.detail))))
        if isinstance(news, CancellationResult):
            self._print_line(sample.order_id, f"{words(news.outcome)}: {news.sentence}")
        else:
            for wait in news.waits:
                if wait.step is None:
                    self._print_line(sample.order_id, f"{words(wait.state)}: {wait.reason}")

    def add_remark(self, sentence: str) -> None:
        """Something that somebody did."""
        if self.console.is_terminal:
            self._remarks.append(f"{self._clock()}  {sentence}")
        else:
            self._print_line("    ", sentence)

    @property
    def steps_done(self) -> int:
        return sum(step.ended_at is not None for news in self._news.values() for step in news.steps)

    def step(self, order_id: str, name: StepName) -> StepRow | None:
        """The first step of that name of an order."""
        news = self._news.get(order_id)
        return next((step for step in news.steps if step.step is name), None) if news else None

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:5.1f} s"

    def _print_line(self, order_id: str, what: str) -> None:
        if (order_id, what) not in self._printed:
            self._printed.add((order_id, what))
            self.console.print(Text(f"{self._clock()}  {order_id}  {what}"), soft_wrap=True)

    def __rich__(self) -> RenderableType:
        remarks = [
            Text(remark, style="bold cyan", no_wrap=True, overflow="ellipsis")
            for remark in self._remarks[-_REMARKS_SHOWN:]
        ]
        rows = Rows("order", "what it is", "state", "timeline")
        timeline = _timeline if self.console.width >= _ROOMY else _short_timeline
        shown = self._choose_shown(self.console.height - len(remarks) - len(("the head", "more", "a line below")))
        for sample in shown:
            news = self._news.get(sample.order_id)
            rows.add_row(sample.order_id, sample.title, _state(news), timeline(news) if news else Text())
        more = len(self._samples) - len(shown)
        return Group(rows, Text(f"and {more} more" if more else "", style="dim"), *remarks)

    def _choose_shown(self, room: int) -> list[Sample]:
        """As many as fit on the screen: those that have ended make room first, then the last ones."""
        ended = [s for s in self._samples if isinstance(self._news.get(s.order_id), CancellationResult)]
        under_way = [s for s in self._samples if s not in ended]
        left_out = [*ended, *reversed(under_way)][: max(len(self._samples) - room, 0)]
        return [sample for sample in self._samples if sample not in left_out]


def closing_table(
    samples: Sequence[Sample], results: Mapping[str, CancellationResult], proof: Proof, width: int
) -> RenderableType:
    """Each order's end: ✓ where it is exactly what was expected, else ✗ with both. Where a line is too short for it, an
    order has two."""
    roomy = width >= _ROOMY
    columns = ("outcome", "goods", "money", "paper") if roomy else ("outcome\npaper, mails", "money")
    rows = Rows("order", "what it is" if roomy else "what it is\ngoods", *columns)
    if roomy:
        rows.add_column("mails", right=True)
    for sample in samples:
        result = results.get(sample.order_id)
        if result is None:
            rows.add_row(sample.order_id, sample.title, Text("✗ has not ended", style="bold red"))
            continue
        seen = Ending.of(result, sample.order.currency)
        outcome = _seen(sample.expected.outcome, seen.outcome, good=seen == sample.expected)
        goods = _seen(sample.expected.goods, seen.goods)
        money = _money(sample.expected, seen)
        paper = Text(result.credit_note) if result.credit_note else Text(words(seen.paper), style="dim")
        mails = str(proof.mails.get(sample.order_id, 0))
        if roomy:
            rows.add_row(sample.order_id, sample.title, outcome, goods, money, paper, mails)
        else:
            goods.stylize("dim")
            paper.append(f", {mails} mails", "dim")
            rows.add_row(
                sample.order_id, Text.assemble(sample.title, "\n", goods), Text.assemble(outcome, "\n", paper), money
            )
    return rows


def proof_view(proof: Proof) -> RenderableType:
    rows = Rows("", "", between=1)
    columns = (
        "at the gateway",
        "by others",
        "in the ledger",
        "sold elsewhere",
        "put back",
        "by hand",
        "credit notes",
        "owed",
    )
    for column in columns:
        rows.add_column(column, right=True)
    for balance in proof.balances:
        amounts = (
            balance.at_gateway,
            balance.elsewhere,
            balance.settled,
            balance.sold_elsewhere,
            balance.put_back,
            balance.by_hand,
            balance.credited,
            balance.payable,
        )
        figures = (str(amount).removesuffix(f" {balance.currency}") for amount in amounts)
        rows.add_row(_verdict(balance.holds), balance.currency, *figures)
    systems = {name: sum(n for kind, n in proof.effects.items() if kind.startswith(name)) for name in _SYSTEMS}
    counted = ", ".join(f"{count} {where}" for where, count in zip(_SYSTEMS.values(), systems.values(), strict=True))
    return Group(
        Text(),
        Text(
            "The books: refunds at the gateway less others' = ledger; "
            "with sales elsewhere, gift cards and by hand = credit notes",
            style="dim",
        ),
        rows,
        Text.assemble(_verdict(not proof.repeated), f"  {sum(systems.values())} effects, none twice: {counted}"),
        Text.assemble(_verdict(not proof.unsent), f"  {sum(proof.mails.values())} mails, one for each notice"),
    )


_SYSTEMS = {
    "gateway": "at the gateway",
    "carrier": "at the carrier",
    "marketplace": "at the marketplace",
    "merchant": "in the shop",
}


def _verdict(holds: bool) -> Text:
    return Text("✓", style="bold green") if holds else Text("✗", style="bold red")


def _seen(expected: StrEnum, seen: StrEnum, *, good: bool | None = None) -> Text:
    """What was seen and, where something else was expected, what. With `good`, a mark for the whole order before it."""
    text = Text(words(seen), style=_OUTCOMES.get(seen, "") if isinstance(seen, Outcome) else "")
    if seen != expected:
        text.append(f" (expected: {words(expected)})", style="bold red")
    return text if good is None else Text.assemble(_verdict(good), " ", text)


def _money(expected: Ending, seen: Ending) -> Text:
    money = given_back(seen.refunded, seen.released)
    text = Text("\n".join(money)) if money else Text(words(seen.money), style="dim")
    wanted = (expected.money, expected.paper, expected.refunded, expected.released)
    if (seen.money, seen.paper, seen.refunded, seen.released) != wanted:
        text.append(
            f"\n({words(seen.money)}, {words(seen.paper)}; expected: {words(expected.money)}, {words(expected.paper)}, "
            f"refunded {expected.refunded}, released {expected.released})",
            style="bold red",
        )
    return text


def _state(news: News | None) -> Text:
    if news is None:
        return Text("asked", style="dim")
    if isinstance(news, CancellationResult):
        return Text(words(news.outcome), style=_OUTCOMES[news.outcome])
    return Text(words(news.state).replace("waiting", "waits"), style="yellow")


def _timeline(news: News) -> Text:
    """Steps and people's actions, the earliest first."""
    marks = [(act.at, Text(f"•{act.action.partition(' ')[0]}", style="bold cyan")) for act in news.actions]
    marks += [(step.started_at, _mark(step)) for step in news.steps]
    return Text(" ").join(mark for _, mark in sorted(marks, key=lambda mark: mark[0]))


def _short_timeline(news: News) -> Text:
    """The signs of its steps, and the name of the last one."""
    steps = sorted(news.steps, key=lambda step: step.started_at)
    return Text().join([*(Text(*MARKS[step.status]) for step in steps[:-1]), *map(_mark, steps[-1:])])


def _mark(step: StepRow) -> Text:
    sign, colour = MARKS[step.status]
    return Text.assemble((sign, colour), _step(step))


def _step(step: StepRow) -> str:
    verb = _VERBS.get(step.step, step.step.value)
    return f"{verb} {step.target}" if step.step in _WITH_TARGET else verb


_WITH_TARGET = {
    StepName.STOP_SHIPMENT,
    StepName.RESUME_SHIPMENT,
    StepName.REVERSE_PAYMENT,
    StepName.RESTORE_PAYMENT,
}
