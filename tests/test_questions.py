"""docs/questions.md: what people ask first is answered by the page and the section that the answer links to; and every
link to a section, in any document, leads to one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_documents import DOCUMENTS, ROOT

QUESTIONS = ROOT / "docs" / "questions.md"
_CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(((?!https?:)[^)\s]*#[^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_MARK = re.compile(r"<!-- (.+) -->")
"""After the link: the words of the answer that are no code, and that the section has to say; with `;` between them."""


def _anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _sections(document: Path) -> dict[str, str]:
    """The text below each heading, up to the next one of its level, by its anchor."""
    text = document.read_text(encoding="utf-8")
    plain = _CODE_BLOCK.sub(lambda block: " " * len(block.group()), text)  # a comment in a block is no heading
    headings = [(len(found[1]), found[2], found.start()) for found in _HEADING.finditer(plain)]
    sections: dict[str, str] = {}
    for number, (level, heading, start) in enumerate(headings):
        end = next((at for other, _, at in headings[number + 1 :] if other <= level), len(text))
        sections.setdefault(_anchor(heading), text[start:end])
    return sections


def _section(link: str, document: Path) -> str | None:
    file, _, anchor = link.partition("#")
    return _sections((document.parent / file).resolve() if file else document).get(anchor)


@dataclass(frozen=True)
class Question:
    group: str
    sentence: str
    answer: str


def _questions() -> Iterator[Question]:
    for group in QUESTIONS.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, *asked = group.split("\n### ")
        for question in asked:
            sentence, _, answer = question.partition("\n")
            yield Question(title.partition(":")[0], sentence, answer)


def _is_said(words: str, section: str) -> bool:
    return " ".join(words.split()) in " ".join(section.replace("**", "").split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_link_to_a_section_leads_to_one(document: Path) -> None:
    links = _LINK.findall(document.read_text(encoding="utf-8"))
    assert not [link for link in links if _section(link, document) is None]


def test_there_are_ten_questions_of_a_newcomer_a_clerk_and_an_integrator() -> None:
    groups = [question.group for question in _questions()]
    assert {group: groups.count(group) for group in groups} == {"Newcomer": 10, "Clerk": 10, "Integrator": 10}


@pytest.mark.parametrize("question", _questions(), ids=lambda question: question.sentence)
def test_the_answer_is_short_and_the_linked_section_says_what_it_rests_on(question: Question) -> None:
    assert question.sentence.endswith("?")
    *_, link = _LINK.findall(question.answer)
    marked = [words for mark in _MARK.findall(question.answer) for words in mark.split("; ")]
    answer = re.sub(r"\[[^\]]*\]\([^)]*\)\s*$", "", _MARK.sub("", question.answer))
    assert not [words for words in marked if not _is_said(words, answer)]
    assert 1 <= len(re.findall(r"[.!](?=\s|$)", answer)) <= 3
    section = _section(link, QUESTIONS)
    assert section is not None
    words = [*_CODE.findall(answer), *marked]
    assert words, "code, and what is marked after the link, is what the section has to say"
    assert not [said for said in words if not _is_said(said, section)]
