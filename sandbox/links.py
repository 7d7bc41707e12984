"""Links to the lists of the Temporal UI, which keeps saved views in one browser only: a link can be given to others."""

from datetime import datetime
from urllib.parse import quote

from client.runs import CANCELLATIONS
from domain.step import Owner
from runtime import search_attributes as attributes


def list_links(ui: str, now: datetime) -> tuple[tuple[str, str], ...]:
    """Each with its name: all cancellations, those that wait, for the refund department, and overdue."""
    running = "ExecutionStatus = 'Running'"
    queries = {
        "Temporal UI": CANCELLATIONS,
        "  what waits": f"{running} AND {attributes.OWNER.name} IS NOT NULL",
        "  for refunds": f"{running} AND {attributes.OWNER.name} = '{Owner.REFUND_DEPARTMENT}'",
        "  overdue": f"{running} AND {attributes.DUE_AT.name} < '{now:%Y-%m-%dT%H:%M:%SZ}'",
    }
    return tuple((name, f"{ui}/namespaces/default/workflows?query={quote(query)}") for name, query in queries.items())
