"""Results count for the code that they are about, and what could not be run is no success."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import pytest

from sandbox.gateway.messages import FaultKind
from tests.faults import selection
from tests.faults.planted.__main__ import read_run
from tests.faults.provider_cases import Provider, ProviderCase, ProviderFault, Target
from tests.faults.providers import Counterparts, open_results, run_cases
from tests.faults.results import CaseResult, Ended, Results, code, commit, is_code, summarise
from tests.faults.stories import Story


def result_of(case: str) -> CaseResult:
    return CaseResult(harness="acts", case=case, fault="cancel", hit=True, survived=True, seconds=1)


def test_what_was_run_on_other_code_is_run_again(tmp_path: Path) -> None:
    """Also where its fields were others then."""
    Results(CaseResult, tmp_path, "acts").add(result_of("a"))
    before = {**result_of("b").model_dump(mode="json"), "code": "01234567"}
    without = {"case": "c", "hit": True, "commit": commit()}
    with (tmp_path / "acts.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in (before, without))
    assert [(found.case, found.code) for found in Results(CaseResult, tmp_path, "acts").found.values()] == [
        ("a", code())
    ]


@pytest.mark.parametrize(
    ("name", "depends"),
    [
        ("domain/money.py", True),
        ("a_new_package/module.py", True),
        ("policy.toml", True),
        ("requirements.txt", True),
        ("sandbox/shop.py", True),
        ("tests/faults/swarm.py", True),
        ("tests/system.py", True),
        ("docs/reliability.md", False),
        ("README.md", False),
        ("tests/faults/test_results.py", False),
        ("tests/faults/planted/a_failed_refund_ends_it.patch", False),
        ("tests/domain/test_money.py", False),
        ("", False),
    ],
)
def test_results_depend_on_the_code_and_not_on_documents(name: str, depends: bool) -> None:
    assert is_code(name) is depends


async def test_a_case_that_could_not_be_run_is_no_success_and_is_run_again(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    case = ProviderCase(
        story=Story.LABEL,
        target=Target(provider=Provider.GATEWAY, name="T1"),
        operation="refund.create",
        number=1,
        fault=ProviderFault(kind=FaultKind.DROP_AFTER_COMMIT),
    )
    await run_cases(cast("Counterparts", None), [case], {}, 1, results.add)
    [found] = results.found.values()
    assert (found.case, found.hit, found.survived, found.violations) == (str(case), False, False, ())
    assert found.wrong.startswith("KeyError")
    assert summarise(results) is Ended.NOT_OVER
    assert open_results(tmp_path).found == {}
    results.add(result_of("sound"), result_of("broken").model_copy(update={"survived": False, "violations": ("I1",)}))
    assert summarise(results) is Ended.BROKEN


async def _raises(_: Path) -> AsyncGenerator[str, None]:
    yield "I3 order 1: it hangs"
    raise ValueError("the harness\nstumbles")


async def _finds_nothing(*_: Path) -> AsyncGenerator[str, None]:
    for line in list[str]():
        yield line


async def test_a_harness_that_raises_has_not_run_and_the_others_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "run_machine", _finds_nothing)
    monkeypatch.setattr(selection, "HARNESSES", (_raises, _finds_nothing))
    lines = [line async for line in selection.find_broken(tmp_path)]
    assert lines == ["I3 order 1: it hangs", "NOT RUN _raises: ValueError('the harness\\nstumbles')"]
    assert selection.end_of(lines) is Ended.BROKEN
    assert selection.end_of(lines[1:]) is Ended.NOT_OVER
    assert selection.end_of([]) is Ended.SOUND


def test_nothing_is_broken_only_where_everything_was_run() -> None:
    assert read_run("", Ended.SOUND, "") == ([], "")
    assert read_run("I1 order 1: twice\n", Ended.BROKEN, "") == (["I1 order 1: twice"], "")
    assert read_run("NOT RUN run_acts: ValueError()\n", Ended.NOT_OVER, "") == ([], "NOT RUN run_acts: ValueError()")
    assert read_run("", 1, "Traceback")[1] == "ended with 1: Traceback"
