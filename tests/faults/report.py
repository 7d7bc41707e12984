"""The figures of docs/reliability.md: what the harnesses wrote down, added up.

python -m tests.faults.report --results DIR

Reads each *.jsonl of DIR, which is named after its harness and, where it ran on several, its database: sweep-sqlite.jsonl.
What was run on different code is never added up: the figures name the digest of the code, and the commits that had it. The
exit code is 1 where a promise is broken on the code of now, and 2 where nothing is known of that or a case could not be run.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from benchmarks.report import replace_block
from domain.base import Value
from sandbox.serving import ROOT
from tests.faults.model import Violation
from tests.faults.results import Ended, code

PAGE = ROOT / "docs" / "reliability.md"
UNKNOWN = "unknown"
_MOST_SEEDS = 12
_FIGURES = TypeAdapter(dict[str, JsonValue])


class Line(Value):
    """What the harnesses say alike of a case. `orders` are its cancellations, `faults` what really reached something, where
    that is counted; else it is the one `fault` of the case, where it was `hit`. `wrong`: what the harness could not do, so
    that the case says nothing. `code` is what all depends on but the documents (results.py)."""

    case: str
    hit: bool
    survived: bool
    fault: str = ""
    faults: Mapping[str, int] = {}
    orders: int = 1
    violations: tuple[str | Violation, ...] = ()
    differences: tuple[str, ...] = ()
    wrong: str = ""
    seconds: float = 0
    seed: int | None = None
    commit: str = ""
    code: str = ""

    @property
    def reached(self) -> Counter[str]:
        if self.faults:
            return Counter(dict(self.faults))
        return Counter({self.fault: 1} if self.hit else {})


class Harness(Value):
    """What it has found out about one code. `figures` are lines that count no cases: they are shown as they are. What is a
    problem there is a violation."""

    name: str
    database: str
    code: str = ""
    lines: tuple[Line, ...] = ()
    figures: tuple[Mapping[str, JsonValue], ...] = ()

    @property
    def proven(self) -> tuple[Line, ...]:
        """A fault that reached nothing does not count."""
        return tuple(line for line in self.lines if line.hit and not line.wrong)

    @property
    def not_run(self) -> int:
        return sum(bool(line.wrong) for line in self.lines)

    @property
    def violated(self) -> int:
        problems = [figures.get("problems") for figures in self.figures]
        return sum(len(line.violations) + len(line.differences) for line in self.lines) + sum(
            len(found) for found in problems if isinstance(found, list)
        )

    @property
    def commits(self) -> str:
        """Those that its cases were run on."""
        return ", ".join(sorted({line.commit for line in self.lines if line.commit})) or UNKNOWN

    @property
    def reached(self) -> Counter[str]:
        return sum((line.reached for line in self.proven), Counter[str]())


def read_results(folder: Path) -> list[Harness]:
    return [harness for file in sorted(folder.glob("*.jsonl")) for harness in _read(file)]


def _read(file: Path) -> list[Harness]:
    """One for each code that it has results about. Of a case that was run again on the same code the last result counts."""
    name, _, database = file.stem.partition("-")
    lines: dict[str, dict[str, Line]] = defaultdict(dict)
    figures: dict[str, dict[str, Mapping[str, JsonValue]]] = defaultdict(dict)
    for text in file.read_text(encoding="utf-8").splitlines():
        given = _FIGURES.validate_json(text)
        code, case = str(given.get("code", "")), str(given.get("case", ""))
        if "hit" in given:
            lines[code][case] = Line.model_validate(given)
        else:
            figures[code][case or str(len(figures[code]))] = given
    return [
        Harness(
            name=name,
            database=database or "sqlite",
            code=code,
            lines=tuple(lines[code].values()),
            figures=tuple(figures[code].values()),
        )
        for code in dict.fromkeys((*lines, *figures))
    ]


def block_of(harnesses: Sequence[Harness]) -> str:
    """Markdown."""
    counted = [harness for harness in harnesses if harness.lines]
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}.",
        _table(
            [
                "harness",
                "database",
                "code",
                "commit",
                "cases",
                "not run",
                "reached",
                "cancellations",
                "faults",
                "survived",
                "violations",
                "hours",
            ],
            [_row(harness) for harness in counted],
        ),
        *(_seeds(harness) for harness in counted if any(line.seed is not None for line in harness.lines)),
        "What was done to them, and how often it really reached something:",
        _table(
            ["harness", "database", "code", "fault", "times"],
            [
                [harness.name, harness.database, harness.code or UNKNOWN, fault.replace("_", " "), f"{times:,}"]
                for harness in counted
                for fault, times in sorted(harness.reached.items())
            ],
        ),
        *(
            f"- {harness.name}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
            for harness in harnesses
            for figures in harness.figures
        ),
    ]
    return "\n\n".join(parts)


def _row(harness: Harness) -> list[str]:
    proven = harness.proven
    return [
        harness.name,
        harness.database,
        harness.code or UNKNOWN,
        harness.commits,
        f"{len(harness.lines):,}",
        f"{harness.not_run:,}",
        f"{len(proven):,}",
        f"{sum(line.orders for line in proven):,}",
        f"{harness.reached.total():,}",
        f"{sum(line.survived for line in proven):,}",
        f"{harness.violated:,}",
        f"{sum(line.seconds for line in harness.lines) / 3600:.1f}",
    ]


def _seeds(harness: Harness) -> str:
    seeds = sorted(line.seed for line in harness.lines if line.seed is not None)
    shown = [str(seed) for seed in seeds]
    if len(shown) > _MOST_SEEDS:
        shown = [*shown[: _MOST_SEEDS // 2], "…", *shown[-_MOST_SEEDS // 2 :]]
    return f"Seeds of {harness.name} on {harness.database}, code {harness.code or UNKNOWN}: {', '.join(shown)}."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    arguments = parser.parse_args()
    harnesses = read_results(arguments.results)
    if not harnesses:
        print(f"{arguments.results} has no results.", file=sys.stderr)
        return 2
    PAGE.write_text(replace_block(PAGE.read_text(encoding="utf-8"), block_of(harnesses)), encoding="utf-8")
    now = [harness for harness in harnesses if harness.code == code()]
    violated, not_run = sum(harness.violated for harness in now), sum(harness.not_run for harness in now)
    print(
        f"{PAGE.relative_to(ROOT)} is written. On the code of now, {code()}: {len(now)} harnesses, {violated} violations, "
        f"{not_run} cases that could not be run."
    )
    return Ended.of(broken=violated > 0, wrong=not_run > 0 or not now)


if __name__ == "__main__":
    sys.exit(main())
