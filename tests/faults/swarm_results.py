"""What became of each plan of the swarm, a line of JSON each, so that a run goes on where it was ended."""

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import Field

from domain.base import Value
from sandbox.serving import ROOT
from tests.faults.site import Database


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


class PlanResults:
    """Those of one database in a folder. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, database: Database) -> None:
        self._file = folder / f"swarm-{database}.jsonl" if folder else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self.found: dict[str, PlanResult] = {}
        if self._file and self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                result = PlanResult.model_validate_json(line)
                self.found[result.case] = result

    def add(self, result: PlanResult) -> None:
        self.found[result.case] = result
        if self._file:
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(f"{result.model_dump_json()}\n")
