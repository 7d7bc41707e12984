"""What became of each plan of the swarm, with what reached something."""

import subprocess
from collections.abc import Mapping
from functools import cache

from pydantic import Field

from domain.base import Value
from sandbox.serving import ROOT
from tests.faults.stage import Database


@cache
def commit() -> str:
    command = ["git", "rev-parse", "--short=8", "HEAD"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


class PlanResult(Value):
    """`faults` are those that really reached something, by what they were: without any the plan proves nothing (`hit`).
    `replayed` histories were replayed."""

    case: str
    seed: int
    database: Database
    commit: str = Field(default_factory=commit)
    orders: int
    replayed: int
    faults: Mapping[str, int]
    violations: tuple[str, ...]
    seconds: float
    hit: bool
    survived: bool


def name_of(seed: int, database: Database) -> str:
    return f"seed {seed} on {database}"
