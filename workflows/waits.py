"""What is waited for that was begun elsewhere."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from domain.outcome import State


@dataclass(frozen=True)
class Watch:
    """What is waited for, as long as it `is_open`: looked up every `poll`, seen in `state` until the patience is over.
    `look_up` looks once, `look_until_news` until there is something new; both return False when nobody answered. `urgent`
    says why a person is needed before the patience is over, if so."""

    look_up: Callable[[], Coroutine[Any, Any, bool]]
    look_until_news: Callable[[], Coroutine[Any, Any, bool]]
    is_open: Callable[[], bool]
    state: State
    why: str
    patience: timedelta
    poll: timedelta
    urgent: Callable[[], str] = lambda: ""
