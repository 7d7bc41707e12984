"""Where each rule stands: `python -m tests.where` writes docs/where.md from the comments `# Rule: …` of the code.

Such a comment stands right above the definition that decides the rule. Where more than one does, each further one has the
same sentence, with what it adds in brackets: `# Rule: The money is waited for [after the end]`.
"""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "where.md"

MARK = re.compile(r"^\s*# Rule: (?P<sentence>[^\[\]]+?)(?: \[(?P<addition>[^\[\]]+)\])?$")

GROUPS = {
    "Asking": (
        *("domain/contract.py", "runtime/api_keys.py", "web/callers.py", "web/reading.py", "client/bulk_file.py"),
        *("domain/texts.py", "domain/base.py", "client/requests.py"),
        *(
            "client/submitting.py",
            "workflows/requests.py",
            "activities/incoming.py",
            "activities/known_orders.py",
            "domain/second_request.py",
        ),
        *("domain/request.py", "web/problems.py", "providers/books/outbox.py", "client/deferred.py"),
    ),
    "What is known, and who holds it": (
        *("domain/case.py", "domain/facts.py", "domain/keys.py", "domain/key_parts.py", "domain/effects.py"),
        *("activities/attempt.py", "activities/register.py", "providers/books/clock.py"),
        *("providers/books/cancellations.py", "providers/books/writing.py", "providers/database/migrate.py"),
    ),
    "Steps, waits and the end of a run": (
        *("workflows/cancellation.py", "workflows/steps.py", "workflows/step_runner.py", "activities/failures.py"),
        "providers/breaker.py",
        *("workflows/waiting.py", "workflows/saga.py", "workflows/continuing.py", "domain/carried.py"),
        *("runtime/plugin.py", "runtime/input_check.py", "client/engine.py", "client/pauses.py", "client/errors.py"),
    ),
    "Decision and approval": (
        *("activities/orders.py", "domain/defects.py", "domain/policy.py", "domain/clocks.py", "domain/country.py"),
        *("workflows/approval.py", "workflows/decisions.py", "domain/permissions.py", "domain/repetition.py"),
    ),
    "The plan": (
        *("domain/known_order.py", "domain/order.py", "domain/planning.py", "domain/plan.py", "domain/money.py"),
        "domain/earlier.py",
    ),
    "Goods": (
        *("domain/shipment.py", "domain/stopping.py", "domain/scans.py", "domain/stops.py", "workflows/goods.py"),
        *("domain/unfrozen.py", "domain/order_changes.py", "domain/departures.py", "activities/shipments.py"),
    ),
    "Money": (
        *("activities/tenders.py", "domain/payment.py", "domain/next_reversal.py", "domain/reversal.py"),
        *(
            "domain/tender_facts.py",
            "domain/elsewhere.py",
        ),
        *(
            "workflows/money.py",
            "domain/settlement.py",
            "domain/fallback.py",
            "domain/money_questions.py",
            "activities/payments.py",
            "activities/other_payments.py",
        ),
        *("activities/restoring.py", "domain/errors.py", "providers/gateway/stripe_errors.py"),
        *("providers/gateway/stripe_objects.py", "providers/stored_value/built_in.py"),
        *("providers/marketplace/mirakl.py", "providers/marketplace/mirakl_api.py"),
        "providers/marketplace/mirakl_order.py",
    ),
    "Credit note and ledger": (
        *("activities/credit.py", "activities/refunds.py", "providers/books/ledger.py", "providers/books/transfers.py"),
    ),
    "Closing the order": (
        *("activities/closing.py", "domain/closing.py", "providers/orders/built_in/orders.py"),
        "providers/orders/built_in/closing.py",
    ),
    "A shop on Vendure": (
        *(
            "providers/orders/vendure/shop.py",
            "providers/orders/vendure/orders.py",
            "providers/orders/vendure/refund_notes.py",
            "providers/orders/vendure/reading.py",
        ),
        *("providers/orders/vendure/closing.py", "providers/orders/vendure/order_lock.py"),
    ),
    "After the end": ("activities/reopening.py", "domain/reopening.py"),
    "Events of providers": (
        *("web/webhooks.py", "providers/events/stripe.py", "providers/events/easypost.py", "providers/events/port.py"),
        *("providers/books/inbox.py", "web/reconciler.py"),
    ),
    "What people see": (
        *("domain/standing.py", "workflows/journal.py", "runtime/search_attributes.py", "workflows/run_page.py"),
        *("activities/customer_notices.py", "activities/notices.py", "client/runs.py", "client/program.py"),
        *("activities/examining.py", "client/diagnosis.py"),
        *("runtime/texts.py", "client/words.py", "client/refusals.py", "client/commands/help_texts.py"),
    ),
    "Tests": ("tests/specifications/specification.py", "tests/specifications/watching.py"),
}
"""Of a rule in several files, the place without an addition says in which group it is."""

_FOLDERS = ("activities", "client", "domain", "providers", "runtime", "tests/specifications", "web", "workflows")

_BEGINNING = """# Where each rule stands

Each rule of [process.md](process.md), and of what is around it, has one place in the code. The comment `# Rule: …` above it
is where this page comes from: `make where` writes it.
"""


class Misplaced(Exception):
    """A comment that makes no row of the page."""


@dataclass(frozen=True)
class Place:
    """Where a rule is decided. `addition` is empty at its first place."""

    sentence: str
    addition: str
    file: str
    name: str

    @property
    def link(self) -> str:
        return f"[`{self.file}:{self.name}`](../{self.file})"


def page(root: Path = ROOT) -> str:
    """Raises Misplaced."""
    files = [file for group in GROUPS.values() for file in group]
    places = [place for file in _files(root) for place in _places(root, file)]
    places.sort(key=lambda place: files.index(place.file) if place.file in files else -1)
    first = Counter(place.sentence for place in places if not place.addition)
    for place in places:
        if place.file not in files:
            raise Misplaced(f"{place.file} has a rule and stands in no group of tests/where.py.")
        if (count := first[place.sentence]) != 1:
            raise Misplaced(f"{place.sentence!r} has to stand at one place without an addition, not at {count}.")
    return "\n".join([_BEGINNING, *(_table(title, group, places) for title, group in GROUPS.items())])


def _files(root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for folder in _FOLDERS for file in sorted((root / folder).rglob("*.py"))]


def _table(title: str, group: tuple[str, ...], places: list[Place]) -> str:
    rows = [f"## {title}", "", "| rule | place |", "|---|---|"]
    for rule in (place for place in places if place.file in group and not place.addition):
        further = [place for place in places if place.sentence == rule.sentence and place.addition]
        links = [rule.link, *(f"{place.addition}: {place.link}" for place in further)]
        sentence = rule.sentence.replace("policy.toml", "[`policy.toml`](../policy.toml)")
        rows.append(f"| {sentence} | {'; '.join(links)} |")
    return "\n".join([*rows, ""])


def _places(root: Path, file: str) -> list[Place]:
    text = (root / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    marks = {number: mark for number, line in enumerate(lines, 1) if (mark := MARK.match(line))}
    unread = [n for n, line in enumerate(lines, 1) if line.strip().startswith("# Rule") and n not in marks]
    if unread:
        raise Misplaced(f"{file}:{unread[0]} has a rule that cannot be read.")
    names = dict(_definitions(ast.parse(text))) if marks else {}
    found = []
    for number, mark in marks.items():
        below = next(line for line in range(number, len(lines) + 2) if line not in marks)
        if below not in names:
            raise Misplaced(f"{file}:{number} has a rule, and no definition right below.")
        found.append(Place(mark["sentence"].strip(), mark["addition"] or "", file, names[below]))
    return found


def _definitions(tree: ast.AST, within: str = "") -> list[tuple[int, str]]:
    """The first line of each, with its decorators, and its name."""
    found = []
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found.append((first, within + node.name))
                if isinstance(node, ast.ClassDef):
                    found += _definitions(node, f"{node.name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.append((node.lineno, within + name))
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
