"""What became of each case, one line each, so that a long run can be ended and continued on the same code."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog
from pydantic import BaseModel, Field, TypeAdapter
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from domain.base import Value
from sandbox.serving import ROOT
from tests.faults.model import Violation

C = TypeVar("C")

NOT_RUN = "NOT RUN"
"""How a line begins that says what could not be run."""


@cache
def commit() -> str:
    """Of the tree in which this process runs, as it was when this was asked first."""
    found = _git("rev-parse", "--short=8", "HEAD")
    if not found:
        return "unknown"
    return f"{found} with changes" if _git("status", "--porcelain") else found


@cache
def code() -> str:
    """A digest of what a result depends on: the product, its settings, its pins, the stand-ins and the harnesses, as they
    stand in the tree when this is asked first. Documents, tests and planted bugs change nothing of it."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    digest = sha256()
    for name in sorted({name for name in listed.split("\0") if is_code(name)}):
        if (file := ROOT / name).is_file():
            digest.update(f"{name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:8]


_NO_CODE = frozenset({".ci", "benchmarks", "docs", "integrations", "tests"})
_OF_THE_TESTS = ("tests/faults/", "tests/fixtures/", "tests/workflows/samples.py")


def is_code(name: str) -> bool:
    """Whether a result may depend on this file of the tree."""
    path = Path(name)
    if name.startswith(_OF_THE_TESTS) or (path.parts[:1] == ("tests",) and len(path.parts) == 2):
        return path.suffix == ".py" and not path.name.startswith("test_")
    return bool(name) and path.parts[0] not in _NO_CODE and path.suffix != ".md"


def _git(*arguments: str) -> str:
    asked = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


class OnCommit(Value):
    """What a harness found out, and about which code. Commits that differ in documents alone have the same `code`."""

    commit: str = Field(default_factory=commit)
    code: str = Field(default_factory=code)


class CaseResult(OnCommit):
    """`fault` is what was done, `moment` where it was done. `hit`: it really was. `survived`: the cancellation came to its
    end, and nothing was broken. `wrong`: what the harness itself could not do; the case says nothing then."""

    harness: str
    case: str
    fault: str
    moment: str = ""
    hit: bool
    survived: bool
    violations: tuple[str, ...] = ()
    wrong: str = ""
    seconds: float


class Named(Protocol):
    @property
    def case(self) -> str: ...


class _Line(BaseModel):
    """What is to be known of a result before it is read. One of another code may have other fields."""

    code: str = ""


R = TypeVar("R", bound=Named)


class Results(Generic[R]):
    """Those of one harness on the code of now, in the file `name` of `folder`; without a folder they are kept in no file.
    What was found out about other code stays in the file and counts as not run; what is `to_repeat` is run again."""

    def __init__(
        self, kind: type[R], folder: Path | None, name: str, to_repeat: Callable[[R], bool] = lambda _: False
    ) -> None:
        commit(), code()  # what is loaded now
        self._lines = TypeAdapter(kind)
        self._file = folder / f"{name}.jsonl" if folder else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self.found = {result.case: result for result in self._read() if not to_repeat(result)}

    def _read(self) -> Iterator[R]:
        if self._file and self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                if _Line.model_validate_json(line).code == code():
                    yield self._lines.validate_json(line)

    def add(self, *results: R) -> None:
        self.found |= {result.case: result for result in results}
        if self._file:
            with self._file.open(
                "ab", buffering=0
            ) as file:  # at once: where this process is killed, no line is half written
                file.write(b"".join(self._lines.dump_json(result) + b"\n" for result in results))


class Ended(IntEnum):
    """The exit code of a harness. A case that could not be run shows nothing, so that the harness is not over."""

    SOUND = 0
    BROKEN = 1
    NOT_OVER = 2

    @classmethod
    def of(cls, *, broken: bool, wrong: bool) -> "Ended":
        return cls.BROKEN if broken else cls.NOT_OVER if wrong else cls.SOUND


def summarise(results: Results[CaseResult]) -> int:
    """Print the summary. Returns the exit code."""
    found = list(results.found.values())
    hit = [result for result in found if result.hit]
    broken = [result for result in found if result.violations]
    wrong = [result for result in found if result.wrong]
    survived = sum(result.survived for result in hit)
    print(
        f"{len(found)} cases, {len(hit)} hit, {survived} survived, {len(broken)} with violations, {len(wrong)} not run"
    )
    for result in (*broken, *wrong):
        print(f"  {result.case} ({result.moment}): {'; '.join(result.violations) or result.wrong}")
    return Ended.of(broken=bool(broken), wrong=bool(wrong))


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


def reports_since_now() -> Callable[[str], None]:
    """Progress, with the seconds that have passed."""
    began = time.monotonic()
    return lambda text: report(f"{time.monotonic() - began:7.0f} s  {text}")


def quieten() -> None:
    """Product and engine say more of thousands of cases than anybody reads. Called before the first client is made."""
    filtered = TelemetryFilter(core_level="ERROR", other_level="ERROR")
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=filtered))))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
