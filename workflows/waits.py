"""What a step waits for: a person, or something that was begun elsewhere."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from domain.outcome import State


@dataclass(frozen=True)
class Obstacle:
    """Why a step cannot go on by itself, in a sentence for the person who is asked. `final`: the counterpart's answer is no,
    or only a person can go on; nothing is tried before somebody has decided. `our_fault`: no answer of anybody's, but
    something that has to be put right. `held_elsewhere`: a run of another namespace writes for this cancellation.
    `choice`: the customer may have the money another way."""

    sentence: str
    final: bool = False
    our_fault: bool = False
    held_elsewhere: bool = False
    choice: bool = False

    @property
    def until_answered(self) -> bool:
        """Nothing is tried again before a person has decided."""
        return self.final or self.held_elsewhere


@dataclass(frozen=True)
class Watch:
    """What is waited for, as long as it `is_open`: looked up every `poll`, seen in `state` until the patience is over.
    `look_up` returns False when nobody answered. `urgent` says why a person is needed before that, if so."""

    look_up: Callable[[], Awaitable[bool]]
    is_open: Callable[[], bool]
    state: State
    why: str
    patience: timedelta
    poll: timedelta
    urgent: Callable[[], str] = lambda: ""
