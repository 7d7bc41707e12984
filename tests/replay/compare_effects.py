"""Compare what the providers committed under two versions of the code: `tests/replay/compare_effects.py OLD_DIR NEW_DIR`.

Each folder was recorded by one version with `RECORD_EFFECTS` (tests/fixtures/effects.py). A difference that is meant stands
in `MEANT` with its reason; any other one makes the exit code 1. A test that only one version has is named, and is none.
"""

import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

MEANT: dict[str, str] = {}
"""The test's name, as its file is named → why its effects are others now."""


ONE_ORDER_FOR_EACH_EVENT = ("a_cancel_request_at_any_event_leaves_nothing_half_done",)
"""Tests that place an order for each event of a history, which has another number of events in each version. Of these, how
an order can end is compared, and not how many end so."""


def lines_of(file: Path) -> list[str]:
    """One line for each effect. Where a test places several orders, which is placed first is a matter of chance."""
    found = json.loads(file.read_text(encoding="utf-8"))
    orders = sorted(
        (
            *_numbered("payment", order["payments"]),
            *_numbered("parcel", order["parcels"]),
            *_numbered("sale", [order["sales"]]),
        )
        for order in found["orders"]
    )
    labels = list(_numbered("new label", found["new labels"]))
    if file.stem.startswith(ONE_ORDER_FOR_EACH_EVENT):
        orders, labels = sorted(set(orders)), []
    return [*(f"order {n}, {line}" for n, lines in enumerate(orders, start=1) for line in lines), *labels]


def _numbered(what: str, groups: list[list[object]]) -> Iterator[str]:
    for n, effects in enumerate(groups, start=1):
        for effect in effects:
            yield f"{what} {n}: {_words(effect)}"


def _words(effect: object) -> str:
    if not isinstance(effect, dict):
        return str(effect)
    return " ".join(str(effect[name]) for name in ("kind", "quantity", "amount", "currency", "key") if effect.get(name))


def difference(old: Path, new: Path) -> list[str]:
    """What only one of them has, each line marked with `-` (old) or `+` (new)."""
    diff = difflib.ndiff(lines_of(old), lines_of(new))
    return [line for line in diff if line[0] in "-+"]


def compare(old: Path, new: Path) -> int:
    """Print the differences; returns how many are not meant."""
    before, after = ({file.name for file in folder.glob("*.json")} for folder in (old, new))
    unmeant = same = 0
    for name in sorted(before & after):
        found = difference(old / name, new / name)
        test = name.removesuffix(".json")
        if not found:
            same += 1
            if test in MEANT:
                print(f"{test}: listed as meant, and does not differ any more")
            continue
        reason = MEANT.get(test)
        unmeant += reason is None
        print(f"{test}: {reason or 'DIFFERS'}")
        print("\n".join(f"    {line}" for line in found))
    for where, names in (("old", before - after), ("new", after - before)):
        print(f"{len(names)} only in {where}: {', '.join(sorted(names)) or '-'}")
    print(f"{same} the same, {unmeant} differ and are not meant")
    return unmeant


if __name__ == "__main__":
    sys.exit(1 if compare(Path(sys.argv[1]), Path(sys.argv[2])) else 0)
