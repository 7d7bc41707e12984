"""What the harnesses wrote down is added up; what reached nothing does not count."""

from pathlib import Path

from tests.faults.report import block_of, read_results


def _write(folder: Path, name: str, *lines: str) -> None:
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_lines_of_all_harnesses_are_added_up(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "sweep-postgresql",
        '{"case": "a", "fault": "answer_lost", "hit": true, "survived": true, "seconds": 1800, "commit": "abc", '
        '"code": "c1"}',
        '{"case": "b", "fault": "answer_lost", "hit": false, "survived": true, "seconds": 900, '
        '"commit": "def with changes", "code": "c1"}',
        '{"case": "c", "fault": "killed", "hit": true, "survived": false, "wrong": "no worker", "seconds": 900, '
        '"code": "c1"}',
    )
    _write(
        tmp_path,
        "swarm-sqlite",
        '{"case": "s", "seed": 7, "commit": "abc", "orders": 50, "hit": true, "survived": false, '
        '"faults": {"kill": 3, "act reset": 2}, "seconds": 0, '
        '"violations": [{"invariant": "I1", "order_id": "1", "sentence": "too much"}]}',
    )
    _write(tmp_path, "outage", '{"runs": 2000, "most_calls_in_a_second": 9}')
    block = block_of(read_results(tmp_path))
    assert "| sweep | postgresql | c1 | abc, def with changes | 3 | 1 | 1 | 1 | 1 | 1 | 0 | 1.0 |" in block
    assert "| swarm | sqlite | unknown | abc | 1 | 0 | 1 | 50 | 5 | 0 | 1 | 0.0 |" in block
    assert "| swarm | sqlite | unknown | act reset | 2 |" in block
    assert "Seeds of swarm on sqlite, code unknown: 7." in block
    assert "- outage: runs 2000, most calls in a second 9" in block


def test_a_case_that_was_run_again_counts_once(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "acts",
        '{"case": "a", "fault": "cancel", "hit": true, "survived": false, "violations": ["I3 order 1: open"]}',
        '{"case": "a", "fault": "cancel", "hit": true, "survived": true}',
    )
    [harness] = read_results(tmp_path)
    assert (len(harness.lines), harness.violated) == (1, 0)


def test_a_cancellation_that_hangs_breaks_a_promise_whether_or_not_the_fault_was_met(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "sweep-sqlite",
        '{"case": "a", "fault": "killed", "hit": false, "survived": false, "violations": ["I3 order 1: after 180 s"]}',
    )
    [harness] = read_results(tmp_path)
    assert (harness.violated, harness.not_run, len(harness.proven)) == (1, 0, 0)


def test_what_was_run_on_different_code_is_not_added_up(tmp_path: Path) -> None:
    """What was broken before a correction is neither held against the code of now, nor gone."""
    _write(
        tmp_path,
        "acts",
        '{"case": "a", "hit": true, "survived": false, "violations": ["I3 order 1: open"], "code": "c1"}',
        '{"case": "a", "hit": true, "survived": true, "code": "c2"}',
    )
    _write(
        tmp_path,
        "outage",
        '{"case": "2 runs", "problems": ["owed, and not paid: 7"], "code": "c1"}',
        '{"case": "2 runs", "problems": [], "code": "c2"}',
    )
    found = {(harness.name, harness.code): harness.violated for harness in read_results(tmp_path)}
    assert found == {("acts", "c1"): 1, ("acts", "c2"): 0, ("outage", "c1"): 1, ("outage", "c2"): 0}


def test_a_problem_among_figures_is_a_violation(tmp_path: Path) -> None:
    _write(tmp_path, "outage", '{"runs": 2000, "problems": ["owed, and not paid: 7"]}')
    [harness] = read_results(tmp_path)
    assert harness.violated == 1
