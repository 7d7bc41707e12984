"""docs/where.md is what the comments of the code say."""

from pathlib import Path

import pytest

from tests import where


def test_the_page_is_what_the_code_says() -> None:
    assert where.PAGE.read_text(encoding="utf-8") == where.page(), "write it: make where"


def test_every_file_that_is_named_has_a_rule() -> None:
    text = where.page()
    named = [file for group in where.GROUPS.values() for file in group]
    assert len(named) == len({*named})
    assert not [file for file in named if f"(../{file})" not in text]


CODE = """
class Parcel:
    # Rule: A parcel moves
    @property
    def moves(self) -> bool:
        return True

    # Rule: A parcel moves [seldom]
    # Rule: A parcel has a speed
    SPEED = 3
"""


def page_of(folder: Path, code: str) -> str:
    (folder / "domain").mkdir()
    (folder / "domain" / "scans.py").write_text(code, encoding="utf-8")
    return where.page(folder)


def test_a_rule_has_a_row_with_all_its_places(tmp_path: Path) -> None:
    goods = page_of(tmp_path, CODE).partition("## Goods")[2].partition("##")[0]
    moves, speed = (f"[`domain/scans.py:Parcel.{name}`](../domain/scans.py)" for name in ("moves", "SPEED"))
    assert goods.split() == [
        *("|", "rule", "|", "place", "|", "|---|---|"),
        *("|", "A", "parcel", "moves", "|", f"{moves};", "seldom:", speed, "|"),
        *("|", "A", "parcel", "has", "a", "speed", "|", speed, "|"),
    ]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("# Rule: A parcel moves\n\nSPEED = 3", "no definition right below"),
        ("# Rule: A parcel moves\nSPEED = 3\n# Rule: A parcel moves\nSLOW = 1", "not at 2"),
        ("# Rule: A parcel moves [seldom]\nSPEED = 3", "not at 0"),
        ("# Rule A parcel moves\nSPEED = 3", "cannot be read"),
    ],
)
def test_a_rule_that_makes_no_row_is_refused(tmp_path: Path, code: str, problem: str) -> None:
    with pytest.raises(where.Misplaced, match=problem):
        page_of(tmp_path, code)


def test_a_rule_in_a_file_of_no_group_is_refused(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "weather.py").write_text("# Rule: It rains\nRAIN = True\n", encoding="utf-8")
    with pytest.raises(where.Misplaced, match=r"domain/weather.py .* no group"):
        where.page(tmp_path)
