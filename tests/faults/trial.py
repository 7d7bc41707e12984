"""One case of a story under way: who helps it, what was said to it, and whether anything was broken."""

import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tests.faults.invariants import violations
from tests.faults.model import Invariant, Violation, World
from tests.faults.promises import Asked, End, broken_promises
from tests.faults.rest import NotAtRest
from tests.faults.results import CaseResult, broken_sentences
from tests.faults.staff import Staff
from tests.faults.words import Spoken, answers_of

C = TypeVar("C")
_LONGEST = 150


@dataclass
class Trial(Generic[C]):
    """`stuck` says why it does not come to rest. `hit`: what was to happen to it has happened."""

    case: C
    staff: Staff
    spoken: list[Spoken] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    hit: bool = False
    stuck: str = ""
    seconds: float = 0

    async def come_to_rest(self) -> None:
        began = time.monotonic()
        try:
            await self.staff.see_through(_LONGEST)
        except NotAtRest as stuck:
            self.stuck = self.stuck or str(stuck)
        self.seconds += time.monotonic() - began

    async def hear_answers(self) -> None:
        answers = await answers_of(self.spoken)
        self.asked = [Asked(said.word, answer) for said, answer in zip(self.spoken, answers, strict=True)]

    def find_broken(self, world: World, usual: End, *, lost: bool = False) -> list[Violation]:
        """`usual` is the end of the story undisturbed. `lost`: the run was ended from outside."""
        found = [*self.staff.seen, *violations(world)]
        if self.stuck:
            order_id = world.order.order_id
            return [*found, Violation(invariant=Invariant.TERMINAL, order_id=order_id, sentence=self.stuck)]
        return found + broken_promises(world, None if self.staff.unlocked else usual, self.asked, lost=lost)

    def result(self, harness: str, fault: str, moment: str, broken: list[Violation]) -> CaseResult:
        return CaseResult(
            harness=harness,
            case=str(self.case),
            fault=fault,
            moment=moment,
            hit=self.hit,
            survived=not broken,
            violations=broken_sentences(broken),
            seconds=round(self.seconds, 2),
        )
