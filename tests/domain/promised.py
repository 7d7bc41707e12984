"""Which promise it is that does not hold: the state machine's checks name their invariants."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.domain.cases import ORDER
from tests.faults.model import Invariant


class Broken(AssertionError):
    """A line for each invariant, as the fault tests write them."""


@contextmanager
def promised(*invariants: Invariant) -> Iterator[None]:
    """Around a check, or as the decorator of one. The innermost one names it."""
    try:
        yield
    except Broken:
        raise
    except (AssertionError, pytest.fail.Exception) as broken:
        sentence = (str(broken) or "a check of the state machine").splitlines()[0]
        raise Broken("\n".join(f"{invariant} order {ORDER}: {sentence}" for invariant in invariants)) from broken
