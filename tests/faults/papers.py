"""The tax on the credit notes of an order, less that on its debit notes: it is that of what was cancelled. I4."""

from collections.abc import Iterator

from domain.step import StepName
from tests.faults.answers import covers_all
from tests.faults.model import Invariant, Verb, World
from tests.faults.prices import after_discount, price_of, tax_of


def credit_notes_have_the_tax_of_what_was_cancelled(world: World) -> Iterator[tuple[Invariant, str]]:
    """Where all of it goes back by credit notes; where only a part does, as of what was captured in part, a single
    cancellation has its share. Never more than that. Of a line of which some units stay a minor unit may be rounded, and of
    the shipping charge."""
    for paper in world.papers:
        if not 0 <= abs(paper.tax) <= abs(paper.amount):
            yield Invariant.LEDGER, f"a note of {paper.amount} has {paper.tax} of tax"
    credited, tax = (sum(getattr(paper, name) for paper in world.papers) for name in ("amount", "tax"))
    if world.is_open or not world.carried_out:
        if not world.is_open and not credited and tax:
            yield Invariant.LEDGER, f"all notes together are of nothing, and have {tax} of tax"
        return
    if world.has_said(Verb.DONE_BY_HAND, Verb.NOTHING_DUE, step=StepName.CLOSE_ORDER):
        return  # what has left the order is what a person says
    units = dict(world.cancelled)
    value, whole = price_of(world, units), tax_of(world, units)
    rounded = 1 + sum(0 < units.get(line.line_id, 0) < line.quantity for line in world.order.lines)
    asked = [said for said in world.said if said.verb is Verb.SUBMIT and said.accepted is not False]
    stays = any(units.get(line.line_id, 0) < line.quantity for line in world.order.lines)
    charged = any(said.shipping or (stays and covers_all(world, said.scope)) for said in asked)
    most = whole + rounded + (after_discount(world.order).shipping_tax if charged else 0)
    if tax > most:
        yield Invariant.LEDGER, f"{tax} of tax is credited for units with {whole}"
    if credited == value and abs(tax - whole) > rounded:
        yield Invariant.LEDGER, f"{tax} of tax is credited for units with {whole}"
    changed = world.has_said(
        Verb.DONE_BY_HAND, Verb.NOTHING_DUE, step=StepName.CHECK_ORDER
    )  # the order costs more than was planned
    single = len(world.carried_out) == 1 and len(world.papers) == 1 and not changed
    if single and 0 < credited < value and not charged and abs(tax * value - whole * credited) > (rounded + 1) * value:
        yield Invariant.LEDGER, f"{tax} of tax is credited with {credited} of {value}, which have {whole}"
