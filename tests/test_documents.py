"""The documents name files and functions that are there."""

import ast
import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from runtime.api_settings import ApiSettings
from runtime.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
# What is recorded of a release stays as it was, whatever moves elsewhere.
_NOT_OURS = {"released", "node_modules"}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(file for file in ROOT.glob("docs/**/*.md") if not _NOT_OURS & {*file.parts})])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_link_and_every_place_in_the_code_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    places = re.findall(r"`([\w/]+\.py):(?:\w+\.)?(\w+)`", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [f"{file}:{name}" for file, name in places if not _defines(ROOT / file, name)]
    assert not missing


def test_every_case_is_shown_by_a_test_that_names_it() -> None:
    """The cases of docs/process.md: the test's own words say which case it is."""
    text = (ROOT / "docs" / "process.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-D]\d+) \|.*\| `(tests/[\w/]+\.py):(\w+)` \|$", text, re.MULTILINE)
    assert len(rows) >= 50
    assert len({case for case, _, _ in rows}) == len(rows)
    unnamed = []
    for case, file, name in rows:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        found = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        [test] = [one for one in found if one.name == name]
        if not re.search(rf"\b{case}\b", ast.get_docstring(test) or ""):
            unnamed.append(f"{case}: {name}")
    assert not unnamed


@pytest.mark.parametrize("settings", [WorkerSettings, ApiSettings])
def test_every_setting_is_documented(settings: type[BaseSettings]) -> None:
    documented = re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8"))
    assert {name.upper() for name in settings.model_fields} <= {*documented}


def _defines(file: Path, name: str) -> bool:
    definition = rf"^\s*((async )?def|class) {name}\b|^{name}\b.* = "
    return file.exists() and re.search(definition, file.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_the_readme_is_short() -> None:
    """Whoever meets the product reads it to the end; the pages of docs/ have the rest."""
    text = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(text.split()) <= 700


RETIRED = (
    "answer this mail",
    "turned a parcel",
    "money is still yours",
    "how-manieth",
    "comes undone",
    "fault of ours",
    "nothing at this address",
    "waiting is:",
    "to choose from:",
    "with consent only",
    "asked for is cancelled",
    "ended from outside",
    "take back or reserve",
    "stands in our log",
    "goes on as before",
    "we write to you",
)
"""Phrases that no page, mail or sentence has any more: English words in another grammar."""


def test_no_retired_phrase_has_come_back() -> None:
    folders = ("activities", "client", "domain", "docs", "providers", "runtime", "web", "workflows")
    files = [*ROOT.glob("*.md"), *(file for folder in folders for file in (ROOT / folder).rglob("*"))]
    texts = [
        file
        for file in files
        if file.suffix in {".md", ".py", ".txt"} and not {"decisions", *_NOT_OURS} & {*file.parts}
    ]
    assert len(texts) > 150
    found = [
        f"{file.relative_to(ROOT)}: {phrase}"
        for file in texts
        for phrase in RETIRED
        if phrase in " ".join(file.read_text(encoding="utf-8").lower().split())
    ]
    assert not found
