"""Links to the lists of the Temporal UI, which keeps saved views in one browser only: a link can be given to others."""

from datetime import datetime
from urllib.parse import quote

from domain.contract import CANCELLATION
from domain.step import Owner
from runtime import search_attributes as attributes

_RUNNING = "ExecutionStatus = 'Running'"

VIEWS = {
    "Cancellations": f"WorkflowType = '{CANCELLATION.name}' AND {attributes.ORDER_ID.name} IS NOT NULL",
    "Waiting": f"{_RUNNING} AND {attributes.OWNER.name} IS NOT NULL",
    "Refund department": f"{_RUNNING} AND {attributes.OWNER.name} = '{Owner.REFUND_DEPARTMENT}'",
}
"""The lists that a clerk needs, with their filters, each as simple as the Temporal UI can show it: of `!=` and `OR` its page
says something else. So a run that another one continues is among the cancellations."""

OVERDUE_PATH = "/overdue"
"""The address of the list of what is overdue at the time of the visit."""


def overdue_at(now: datetime) -> str:
    """The filter of what was due before `now`."""
    return f"{_RUNNING} AND {attributes.DUE_AT.name} < '{now:%Y-%m-%dT%H:%M:%SZ}'"


def path_of(query: str) -> str:
    """The address of the list with this filter."""
    return f"/namespaces/default/workflows?query={quote(query)}"


def list_links(ui: str) -> tuple[tuple[str, str], ...]:
    """Each with its name: all cancellations, those that wait, for the refund department, and overdue."""
    return (
        ("Temporal UI", ui + path_of(VIEWS["Cancellations"])),
        ("  what waits", ui + path_of(VIEWS["Waiting"])),
        ("  for refunds", ui + path_of(VIEWS["Refund department"])),
        ("  overdue", ui + OVERDUE_PATH),
    )
