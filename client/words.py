"""Codes as people read them, in the language of the process."""

from client.bulk import LineAnswer
from client.engine import Execution
from domain.decision import Rule, Verdict
from domain.examination import Counterpart
from domain.findings import Finding
from domain.order import TenderKind
from domain.outcome import GoodsStatus, MoneyStatus, PaperStatus, State
from domain.plan import LeftOutReason
from domain.shipment import GoodsGroup, StopAction
from domain.step import Owner, StepName, StepStatus
from runtime.texts import translate_code, translate_word

# Rule: The command line speaks the language of its reader [words of codes]
Shown = (
    Counterpart
    | Execution
    | GoodsGroup
    | GoodsStatus
    | LeftOutReason
    | MoneyStatus
    | Owner
    | PaperStatus
    | Rule
    | State
    | StepName
    | StepStatus
    | StopAction
    | TenderKind
    | Verdict
)
"""The closed sets that the command line shows; each has its words in the catalogues."""

ACTIONS = (
    "approved",
    "rejected",
    "withdrawn",
    "reminder: the approval is due",
    "escalated: nobody has answered",
)
"""What people did, where it names no step: any other action is shown as it was recorded."""


def words(code: Shown) -> str:
    return translate_code(code)


def action_words(action: str) -> str:
    return translate_word("Action", action)


def sentence_of(finding: Finding) -> str:
    """A merchant's adapter may have words of its own, which are shown as they are."""
    return translate_word(Finding.__name__, finding.sentence)


def answer_words(word: str) -> str:
    """What a line of a `bulk` file counts as."""
    return translate_word(LineAnswer.__name__, word.replace("_", " "))
