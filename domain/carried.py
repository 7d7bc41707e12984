"""What a run that continues as new hands on: all that it knows, and what it waits for."""

from datetime import datetime

from domain.base import Value
from domain.examination import Counterpart
from domain.facts import Entry, Requested
from domain.step import StepName


class Obstacle(Value):
    """Why a step cannot go on by itself, in a sentence for the person who is asked. `final`: the counterpart's answer is no,
    or only a person can go on; nothing is tried before somebody has decided. `our_fault`: no answer of anybody's, but
    something that has to be put right. `held_elsewhere`: a run of another namespace writes for this cancellation.
    `choice`: the customer may have the money another way. `away`: the system that does not answer."""

    sentence: str
    final: bool = False
    our_fault: bool = False
    held_elsewhere: bool = False
    choice: bool = False
    away: Counterpart | None = None

    @property
    def until_answered(self) -> bool:
        """Nothing is tried again before a person has decided."""
        return self.final or self.held_elsewhere


class Resting(Value):
    """A step that waits for its next round, or for a person, after so many `rounds` without an answer, `since` the last of
    them."""

    step: StepName
    target: str
    obstacle: Obstacle
    rounds: int
    since: datetime


class Seen(Value):
    """When a step was first seen to wait: its due time counts from then, where no book has learnt anything of it."""

    step: StepName
    target: str
    at: datetime


class ParcelLook(Value):
    """When a parcel was looked at last, and after how many events of the carrier's."""

    shipment_id: str
    at: datetime
    events: int


# Rule: A run that has grown continues as new, while nothing is under way [what it hands on]
class Carried(Value):
    """The start argument of a run that goes on for one whose history had grown long. `requested` began the first of them;
    `entries` are the case, with what no book keeps."""

    requested: Requested
    entries: tuple[Entry, ...]
    resting: tuple[Resting, ...] = ()
    seen: tuple[Seen, ...] = ()
    looks: tuple[ParcelLook, ...] = ()
    events: int = 0
    parcel_events: int = 0
