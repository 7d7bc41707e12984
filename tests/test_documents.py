"""The documents name files and functions that are there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from runtime.api_settings import ApiSettings
from runtime.settings import WorkerSettings
from workflows.run_page import MARKS

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
        found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        [test] = [function for function in found if function.name == name]
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_command_asks_the_api_that_was_exported(document: Path) -> None:
    """`make up` prints the line where another program has the usual port."""
    blocks = "".join(re.findall(r"^```\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    assert "http://127.0.0.1:8000" not in blocks.replace("${API_URL:-http://127.0.0.1:8000}", "")


def test_the_marks_of_a_runs_page_are_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    explained = page.partition("The marks before the steps:")[2].partition("\n\n")[0]
    assert {*MARKS.values()} == {*re.findall(r"[^\s\w(),.:`]", explained)}


def test_the_table_of_waits_quotes_what_the_runs_say() -> None:
    """Where a sentence names an order or an amount, or leaves something out, the table has …"""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("## What a wait means")[2].partition("\n## ")[0]
    quoted = [
        phrase
        for row in re.findall(r"^- \*\*(.+?)\*\*$", table, re.MULTILINE | re.DOTALL)
        for phrase in re.findall(r'"(.+?)"', " ".join(row.split()))
    ]
    assert len(quoted) > 20
    folders = ("activities", "client", "domain", "providers", "workflows")
    said = [text for folder in folders for file in (ROOT / folder).rglob("*.py") for text in _texts_of(file)]
    parts = {phrase: [re.escape(part.strip()) for part in phrase.split("…")] for phrase in quoted}
    patterns = {phrase: re.compile(".*".join(found), re.IGNORECASE) for phrase, found in parts.items()}
    assert not [phrase for phrase, pattern in patterns.items() if not any(map(pattern.search, said))]


def _texts_of(file: Path) -> Iterator[str]:
    """The texts in a file, with … for what is put in."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Constant(value=str() as text):
                yield text
            case ast.JoinedStr(values=values):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in values)


RETIRED = (
    "answer this mail",
    "turned a parcel",
    "turns round",
    "money is still yours",
    "how-manieth",
    "come undone",
    "comes loose",
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
    "credit note over",
    "hands off",
    "in the last moment",
    "in the moment",
    "is let pass",
    "is none of",
    "are none of",
    "look whether",
    "look why",
    "looks whether",
    "no matter of",
    "so it is with",
    "somebody to be told",
    "tell of",
    "that is none",
    "that it is told",
    "they are told",
    "told by",
    "told no",
    "told that",
    "was told",
    "worth so much",
)
"""Phrases that no page, mail or sentence has any more: English words in another grammar."""


def test_no_retired_phrase_has_come_back() -> None:
    folders = ("activities", "client", "domain", "docs", "providers", "runtime", "sandbox", "web", "workflows")
    files = [*ROOT.glob("*.md"), *(file for folder in folders for file in (ROOT / folder).rglob("*"))]
    texts = [file for file in files if file.suffix in {".md", ".py", ".txt"} and not _NOT_OURS & {*file.parts}]
    assert len(texts) > 150
    found = [
        f"{file.relative_to(ROOT)}: {phrase}"
        for file in texts
        for phrase in RETIRED
        if phrase in " ".join(file.read_text(encoding="utf-8").lower().split())
    ]
    assert not found
