"""What became of each case, one line each, so that a long run can be ended and continued."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog
from pydantic import Field, TypeAdapter
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from domain.base import Value
from sandbox.serving import ROOT
from tests.faults.model import Violation

C = TypeVar("C")


@cache
def commit() -> str:
    """Of the tree in which this process runs, as it was when this was asked first."""
    found = _git("rev-parse", "--short=8", "HEAD")
    if not found:
        return "unknown"
    return f"{found} with changes" if _git("status", "--porcelain") else found


def _git(*arguments: str) -> str:
    asked = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


class OnCommit(Value):
    """What a harness found out, and about which code."""

    commit: str = Field(default_factory=commit)


class CaseResult(OnCommit):
    """`fault` is what was done, `moment` where it was done. `hit`: it really was. `survived`: the cancellation came to its
    end, and nothing was broken."""

    harness: str
    case: str
    fault: str
    moment: str = ""
    hit: bool
    survived: bool
    violations: tuple[str, ...] = ()
    seconds: float


class Named(Protocol):
    @property
    def case(self) -> str: ...


R = TypeVar("R", bound=Named)


class Results(Generic[R]):
    """Those of one harness, in the file `name` of `folder`; without a folder they are kept in no file. What is `to_repeat`
    is run again."""

    def __init__(
        self, kind: type[R], folder: Path | None, name: str, to_repeat: Callable[[R], bool] = lambda _: False
    ) -> None:
        commit()  # the code that is loaded now
        self._lines = TypeAdapter(kind)
        self._file = folder / f"{name}.jsonl" if folder else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self.found = {result.case: result for result in self._read() if not to_repeat(result)}

    def _read(self) -> Iterator[R]:
        if self._file and self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                yield self._lines.validate_json(line)

    def add(self, *results: R) -> None:
        self.found |= {result.case: result for result in results}
        if self._file:
            with self._file.open(
                "ab", buffering=0
            ) as file:  # at once: where this process is killed, no line is half written
                file.write(b"".join(self._lines.dump_json(result) + b"\n" for result in results))


def summarise(results: Results[CaseResult]) -> int:
    """Print the summary; the exit code is 1 where something was broken."""
    found = list(results.found.values())
    hit = [result for result in found if result.hit]
    broken = [result for result in found if not result.survived]
    print(f"{len(found)} cases, {len(hit)} hit, {len(hit) - len(broken)} survived, {len(broken)} with violations")
    for result in broken:
        print(f"  {result.case} ({result.moment}): {'; '.join(result.violations)}")
    return 1 if broken else 0


def broken_sentences(found: Sequence[Violation]) -> tuple[str, ...]:
    return tuple(str(violation) for violation in found)


@dataclass(frozen=True)
class Draw:
    """One in `share` of all cases, in an order that the seed decides. A case is drawn whatever others there are."""

    seed: int = 12
    share: int = 1

    def of(self, cases: Sequence[C]) -> list[C]:
        numbers = [int(sha256(f"{self.seed}/{case}".encode()).hexdigest(), 16) for case in cases]
        drawn = [(number, case) for number, case in zip(numbers, cases, strict=True) if number % self.share == 0]
        return [case for _, case in sorted(drawn, key=lambda numbered: numbered[0])]


def report_group(found: Sequence[CaseResult], before: int, of: int, seconds: float) -> None:
    broken = [result for result in found if not result.survived]
    hit = sum(result.hit for result in found)
    report(f"  {before + len(found)} of {of}: {hit} hit, {len(broken)} broken, {seconds:.0f} s")
    for result in broken:
        report(f"    {result.case} ({result.moment}): {'; '.join(result.violations)}")


def report(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def quieten() -> None:
    """Product and engine say more of thousands of cases than anybody reads. Called before the first client is made."""
    filtered = TelemetryFilter(core_level="ERROR", other_level="ERROR")
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=filtered))))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
