"""The state machine without pytest: what is broken is printed, in lines that begin with the invariant. The exit code is 1
then, and 2 where nothing is, but a chapter could not be run to its end.

python -m tests.domain.broken
"""

import sys

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.domain.promised import Broken
from tests.domain.test_case_machine import CHAPTERS, CaseMachine

_EXAMPLES = 200
"""Divided among the chapters. They are the same each time, and not shrunk."""


def main() -> int:
    some = settings(
        max_examples=-(-_EXAMPLES // len(CHAPTERS)),
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    broken: list[str] = []
    is_over = True
    for chapter in CHAPTERS:
        machine = type("BeginsHere", (CaseMachine,), {"chapter": chapter})
        try:
            run_state_machine_as_test(machine, settings=some)
        except Broken as found:
            for line in str(found).splitlines():
                if line not in broken:
                    broken.append(line)
                    print(line, flush=True)
        except Exception as error:  # noqa: BLE001 - a bug may be met by the machine itself
            is_over = False
            print(f"{chapter}: {error!r}"[:400], file=sys.stderr, flush=True)
    return 1 if broken else 0 if is_over else 2


if __name__ == "__main__":
    sys.exit(main())
