"""The proof of the proof: each planted bug is found by the same harnesses, by the invariant that it breaks.

python -m tests.faults.planted [NAME …] [--results DIR]

A copy of the tree with the bug in it runs tests/faults/selection.py until one of the invariants is broken that the bug
breaks. NAME is a patch of this folder, or a folder below it; without one all of them are tried, and before them a copy
without a bug, in which nothing is broken. Results are lines of JSON in DIR/planted.jsonl; bugs that were found, in the
same code, are not looked for again. The exit code is 1 where one was not.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.model import Invariant
from tests.faults.planted.bugs import Bug, DoesNotApply, copy_tree, plant, read_bugs
from tests.faults.results import NOT_RUN, Ended, OnCommit, Results, report

SOUND = "no bug"
_LONGEST, _STOPS_WITHIN = 900.0, 60.0


class Found(OnCommit):
    """`by` is the line that names one of the invariants in `breaks`, `reported` what was broken besides until then. `patch`
    is the bug's digest; `wrong` says what could not be run."""

    bug: str
    patch: str = ""
    breaks: tuple[Invariant, ...]
    found: bool
    by: str = ""
    reported: tuple[Invariant, ...] = ()
    wrong: str = ""
    seconds: float

    @property
    def case(self) -> str:
        return self.bug


def search_for_bug(bug: Bug | None) -> Found:
    """None: the tree as it is. It is as it should be when everything was run, and nothing is broken."""
    began = time.monotonic()
    name, breaks = (bug.name, bug.breaks) if bug else (SOUND, ())
    lines: list[str] = []
    wrong = ""
    try:
        with tempfile.TemporaryDirectory(prefix="planted-", ignore_cleanup_errors=True) as folder:
            lines, wrong = _run_in_copy(bug, Path(folder), breaks)
    except DoesNotApply as no:
        wrong = str(no)
    broken = {line: Invariant(line.partition(" ")[0]) for line in lines}
    by = next((line for line, invariant in broken.items() if invariant in breaks), "")
    return Found(
        bug=name,
        patch=bug.digest if bug else "",
        breaks=breaks,
        found=bool(by) if bug else not (broken or wrong),
        by=by[:400],
        reported=tuple(sorted(set(broken.values()))),
        wrong=wrong,
        seconds=round(time.monotonic() - began, 1),
    )


def _run_in_copy(bug: Bug | None, tree: Path, breaks: Sequence[Invariant]) -> tuple[list[str], str]:
    """The lines that name an invariant, and what went wrong with the run itself."""
    copy_tree(tree)
    if bug:
        plant(bug, tree)
    selection = [sys.executable, "-m", "tests.faults.selection", "--until", *breaks]
    with (tree / "selection.log").open("w+", encoding="utf-8") as log:
        running = subprocess.Popen(selection, cwd=tree, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            out, _ = running.communicate(timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            out = _stop(running)
            return _named(out), f"not over after {_LONGEST:.0f} s"
        log.seek(0)
        last = "".join(log.readlines()[-5:]).strip()
    return read_run(out, running.returncode, last)


def read_run(out: str, code: int, last: str) -> tuple[list[str], str]:
    """What the selection has printed, and how it ended: the same two. `last` is what it has said last."""
    lines, not_run = _named(out), [line for line in out.splitlines() if line.startswith(NOT_RUN)]
    if not_run:
        return lines, "; ".join(not_run)
    is_over = code == (Ended.BROKEN if lines else Ended.SOUND)
    return lines, "" if is_over else f"ended with {code}: {last}"


def _stop(running: "subprocess.Popen[str]") -> str:
    """What it has printed."""
    running.terminate()
    try:
        return running.communicate(timeout=_STOPS_WITHIN)[0]
    except subprocess.TimeoutExpired:
        running.kill()
        return running.communicate()[0]


def _named(out: str) -> list[str]:
    words = {invariant.value for invariant in Invariant}
    return [line for line in out.splitlines() if line.partition(" ")[0] in words]


def describe(result: Found) -> str:
    word = "found" if result.found else "NOT FOUND"
    if result.bug == SOUND:
        word = "nothing is broken" if result.found else "BROKEN WITHOUT A BUG"
    others = ", ".join(invariant for invariant in result.reported if invariant not in result.breaks)
    why = result.by or result.wrong or (f"reported: {others}" if others else "nothing was reported")
    return f"{result.bug} ({', '.join(result.breaks)}): {word}, {result.seconds:.0f} s" + (
        f"\n    {why}" if why else ""
    )


def choose(names: Sequence[str]) -> list[Bug]:
    bugs = read_bugs()
    unknown = [name for name in names if not any(_is_meant(bug, name) for bug in bugs)]
    if unknown:
        sys.exit(f"There is no planted bug {', '.join(unknown)}.")
    return [bug for bug in bugs if not names or any(_is_meant(bug, name) for name in names)]


def _is_meant(bug: Bug, name: str) -> bool:
    return bug.name == name or bug.name.startswith(f"{name}/")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.faults.planted", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--results", type=Path, metavar="DIR")
    asked = parser.parse_args()
    bugs: list[Bug | None] = [*([] if asked.names else [None]), *choose(asked.names)]
    results = Results(Found, asked.results, "planted")
    known = dict(results.found)
    found: list[Found] = []
    for number, bug in enumerate(bugs, start=1):
        name = bug.name if bug else SOUND
        before = known.get(name)
        is_known = before is not None and before.found and before.patch == (bug.digest if bug else "")
        result = before if before and is_known else search_for_bug(bug)
        found.append(result)
        if before is not result:
            results.add(result)
        report(f"{number} of {len(bugs)}: {describe(result)}")
    missed = [result for result in found if not result.found]
    print(f"{len(found) - len(missed)} of {len(found)} as they should be")
    for result in missed:
        print(describe(result))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
