"""The figures: what is measured, medians of the rounds, and the ratios to the floor with their aims."""

import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from benchmarks.processes import Machine
from domain.base import Value


class Subject(StrEnum):
    FLOOR = "floor"
    CAPTURED = "captured"
    LABEL = "label"


class Times(Value):
    """Milliseconds. `answer`: until the caller has the decision, of the floor until its update is answered. `run`: until the
    caller has the result."""

    answer_p50: float
    answer_p99: float
    run_p50: float
    run_p99: float

    @classmethod
    def of(cls, timings: "Sequence[Timing]") -> "Times":
        answers, runs = [timing.answer for timing in timings], [timing.run for timing in timings]
        return cls(
            answer_p50=1000 * quantile(answers, 0.5),
            answer_p99=1000 * quantile(answers, 0.99),
            run_p50=1000 * quantile(runs, 0.5),
            run_p99=1000 * quantile(runs, 0.99),
        )


class Timing(Value):
    """Of one run, in seconds."""

    answer: float
    run: float


class Counts(Value):
    """On the server, of a mean run."""

    events: float
    workflow_tasks: float
    activities: float
    local_activities: float


class Crowd(Value):
    """Many runs at once. `cpu` is milliseconds a run, by process, of two workers together; `peak` the largest resident set
    of a worker, in MiB; `failed_attempts` how many attempts of steps the workers' logs call failed."""

    runs_per_second: float
    times: Times
    cpu: Mapping[str, float]
    peak: float
    failed_attempts: float
    counts: Counts


class Subjects(Value):
    """What was measured of one subject in one round: a run at a time, and many by one worker process and by two."""

    alone: Times
    one_worker: Crowd
    two_workers: Crowd


class Replayed(Value):
    """`cpu`: seconds for all of them."""

    histories: int
    events: int
    histories_per_second: float
    cpu: float


class Round(Value):
    """`waiting_memory`: KiB of the worker's resident set for each run that waits for an approval."""

    subjects: Mapping[Subject, Subjects]
    waiting_memory: float


class Sizes(Value):
    """How much is measured: runs, except `rounds` and `concurrency`."""

    rounds: int
    warm_up: int
    alone: int
    crowd: int
    concurrency: int
    waiting: int
    histories: int | None = None
    """None: all that are recorded."""


class Measured(Value):
    """A whole measurement, begun `at`; `load_before` and `load_after` are the machine's load averages over one minute. The
    histories are replayed once: there are enough of them."""

    at: datetime
    seconds: float
    machine: Machine
    load_before: float
    load_after: float
    sizes: Sizes
    rounds: tuple[Round, ...]
    replay: Replayed

    @property
    def quiet(self) -> bool:
        """Nothing much else ran when it began, so that the figures are more than a check of the tool."""
        return self.load_before < self.machine.cores / 4

    @property
    def median(self) -> Round:
        return median(self.rounds)


class Ratio(Value):
    """A figure of the product divided by the floor's of the same round. The aim is at most, or `at_least`, `aim`."""

    what: str
    subject: Subject
    ratio: float
    aim: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.ratio >= self.aim if self.at_least else self.ratio <= self.aim


_SERVER_AIMS = {Subject.CAPTURED: 1.2, Subject.LABEL: 1.5}
_WORKER_AIMS = {Subject.CAPTURED: 4.5, Subject.LABEL: 5.0}
_DECISION_AIM = 1.2
_ONE_WORKER_AIM, _TWO_WORKERS_AIM = 0.30, 0.40


def ratios(rounds: Sequence[Round]) -> list[Ratio]:
    """The median of the rounds' ratios. Floor and product of one round were measured within a minute or two, so that a
    machine that slows down meanwhile does so for both."""
    return [
        same[0].model_copy(update={"ratio": statistics.median(found.ratio for found in same)})
        for same in zip(*map(_ratios, rounds), strict=True)
    ]


def _ratios(measured: Round) -> list[Ratio]:
    floor = measured.subjects[Subject.FLOOR]
    found = []
    for subject, server_aim in _SERVER_AIMS.items():
        product = measured.subjects[subject]
        mine, least = product.one_worker, floor.one_worker
        found += [
            Ratio(
                what="CPU of the Temporal server a run",
                subject=subject,
                ratio=mine.cpu["Temporal"] / least.cpu["Temporal"],
                aim=server_aim,
            ),
            Ratio(
                what="CPU of the worker a run",
                subject=subject,
                ratio=mine.cpu["worker"] / least.cpu["worker"],
                aim=_WORKER_AIMS[subject],
            ),
            Ratio(
                what="decision, to the floor's whole run",
                subject=subject,
                ratio=product.alone.answer_p50 / floor.alone.run_p50,
                aim=_DECISION_AIM,
            ),
            Ratio(
                what="throughput, one worker process",
                subject=subject,
                ratio=mine.runs_per_second / least.runs_per_second,
                aim=_ONE_WORKER_AIM,
                at_least=True,
            ),
            Ratio(
                what="throughput, two worker processes",
                subject=subject,
                ratio=product.two_workers.runs_per_second / floor.two_workers.runs_per_second,
                aim=_TWO_WORKERS_AIM,
                at_least=True,
            ),
        ]
    return found


V = TypeVar("V", bound=Value)


def median(values: Sequence[V]) -> V:
    """Of the same shape, each number the median of theirs."""
    return type(values[0]).model_validate(_median([value.model_dump() for value in values]))


def _median(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _median([value[key] for value in values]) for key in first}
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that `share` of them do not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
