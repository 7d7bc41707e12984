"""What became of each plan of the swarm, with what reached something."""

from collections.abc import Mapping

from tests.faults.model import Violation
from tests.faults.results import OnCommit
from tests.faults.stage import Database


class PlanResult(OnCommit):
    """`faults` are those that really reached something, by what they were: without any the plan proves nothing (`hit`)."""

    case: str
    seed: int
    database: Database
    orders: int
    faults: Mapping[str, int]
    violations: tuple[Violation, ...]
    seconds: float
    hit: bool
    survived: bool


def name_of(seed: int, database: Database) -> str:
    return f"seed {seed} on {database}"
