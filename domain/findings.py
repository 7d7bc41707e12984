"""What an order management system can and cannot tell or do: said at the start of a worker, and by `starter.py doctor`."""

from collections.abc import Mapping
from enum import StrEnum

from domain.base import Value


class Subject(StrEnum):
    """What differs between order management systems, and changes what the process does."""

    FREEZING = "freezing"
    PICKS = "picks"
    LABELS = "labels"
    SALE_CONDITIONS = "sale_conditions"
    FLAGS = "flags"
    GIVEN_BACK = "given_back"
    REPLACED_PAYMENTS = "replaced_payments"
    GOODS_COMING_BACK = "goods_coming_back"
    STOCK = "stock"
    CONCURRENT_CLOSES = "concurrent_closes"


class Finding(Value):
    """`known`: the order management system can tell or do this. `sentence` is one line: what follows from it, and what
    happens instead where it is not known."""

    subject: Subject
    known: bool
    sentence: str

    @classmethod
    def of(cls, subject: Subject, *, known: bool) -> "Finding":
        """In the words that are true of any order management system."""
        if_known, if_not = SENTENCES[subject]
        return cls(subject=subject, known=known, sentence=if_known if known else if_not)


SENTENCES: Mapping[Subject, tuple[str, str]] = {
    Subject.FREEZING: (
        "Orders can be frozen: nobody packs, captures or changes an order while it is being cancelled.",
        "Orders cannot be frozen: each is read again before money moves, and what has left is stopped or not cancelled.",
    ),
    Subject.PICKS: (
        "Parcels without a label can be taken out of the warehouse's work.",
        "Parcels without a label cannot be taken out of the warehouse's work: a person puts them aside.",
    ),
    Subject.LABELS: (
        "Labels and tracking numbers of parcels are known, so that the carrier can be asked to stop them.",
        "Labels and tracking numbers of parcels are not known: no parcel can be stopped at a carrier.",
    ),
    Subject.SALE_CONDITIONS: (
        "Lines that are a final sale or customised are known.",
        "Lines that are a final sale or customised are not known: every line counts as a regular sale.",
    ),
    Subject.FLAGS: (
        "Fraud reviews and consumers of the European Union are known.",
        "Fraud reviews and consumers of the European Union are not known: no order counts as under review or as theirs.",
    ),
    Subject.GIVEN_BACK: (
        "Orders show what has gone back to the customer.",
        "Orders do not show what has gone back to the customer: it is in the books of this product and at the gateway.",
    ),
    Subject.REPLACED_PAYMENTS: (
        "A payment that is reserved again after a roll-back is recorded with its order.",
        "A payment that is reserved again after a roll-back cannot be recorded with its order: a person notes it there.",
    ),
    Subject.GOODS_COMING_BACK: (
        "Goods on their way back are for sale once they have arrived.",
        "What leaves an order is for sale at once: goods on their way back stay in the order until they have arrived.",
    ),
    Subject.STOCK: (
        "Stock is right after each close.",
        "Stock may be wrong after a close: count it.",
    ),
    Subject.CONCURRENT_CLOSES: (
        "If two workers close an order at the same moment, its units leave it only once.",
        "If two workers close an order at the same moment, its units may leave it twice: check an order closed again.",
    ),
}
