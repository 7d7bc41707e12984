"""Every text that people read is in every catalogue, and means the same there."""

import ast
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from runtime.texts import LANGUAGES, SOURCE, find_language, language_of_environment, translations
from tests.texts.catalogues import ROOT, catalogue_files, read_catalogue, source_texts, updated

_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}")
CATALOGUES = pytest.mark.parametrize("file", catalogue_files(), ids=lambda file: file.parent.parent.name)


def forms(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ())


def placeholders(text: str) -> list[str]:
    return sorted(set(_PLACEHOLDER.findall(text)))


def entries(file: Path) -> list[Message]:
    return [message for message in read_catalogue(file) if message.id]


@CATALOGUES
def test_a_catalogue_has_the_texts_of_the_source_and_no_others(file: Path) -> None:
    """If this fails: `make texts`, then translate what is new."""
    assert file.read_text(encoding="utf-8") == updated(file)
    assert not read_catalogue(file).obsolete
    assert len(entries(file)) == len(source_texts()) > 80


@CATALOGUES
def test_every_text_is_translated_and_not_by_a_guess(file: Path) -> None:
    of_language = read_catalogue(file)
    wrong = [
        message.id
        for message in entries(file)
        if message.fuzzy
        or not all(form.strip() for form in forms(message.string))
        or (message.pluralizable and len(forms(message.string)) != of_language.num_plurals)
    ]
    assert not wrong


@CATALOGUES
def test_a_translation_has_the_placeholders_of_its_text_and_ends_as_it_does(file: Path) -> None:
    """Of two plural forms, the first may leave the number out."""
    wrong = []
    for message in entries(file):
        wanted, whole = forms(message.id)[-1], forms(message.string)
        if any(placeholders(form) != placeholders(wanted) for form in whole):
            wrong.append(message.id)
        if any(ending(form) != ending(wanted) for form in whole):
            wrong.append(message.id)
    assert not wrong


def ending(text: str) -> tuple[str, bool, bool]:
    """The blanks around it, and whether it ends as a sentence or announces what follows."""
    return text[: len(text) - len(text.lstrip())], text != text.rstrip(), text.rstrip()[-1] in ".:,"


@pytest.mark.parametrize(
    "path", [*(ROOT / "client").rglob("*.py"), ROOT / "starter.py"], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_what_is_translated_in_the_code_is_found_there(path: Path) -> None:
    """A plain text, and not within an f-string, where it would not be found."""
    known = {message.id for message in source_texts()}
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "translate"
    ]
    texts = [call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)]
    assert [text for text in texts if text not in known] == []
    assert len(texts) == len(calls) or path.name in {"refusals.py", "help_texts.py"}, "they translate what others wrote"


def test_english_is_the_source_and_german_is_known() -> None:
    assert LANGUAGES == (SOURCE, "de")
    assert translations("en").gettext("Hello,") == "Hello,"
    assert translations("de").gettext("Hello,") == "Guten Tag,"


@pytest.mark.parametrize(
    ("tags", "language"),
    [
        ("de-AT", "de"),
        ("DE_ch.UTF-8", "de"),
        ("de@euro", "de"),
        ("fr:de", "de"),
        ("fr-CH, de;q=0.9, en;q=0.8", "de"),
        ("en-GB,de", "en"),
        ("fr", "en"),
        ("", "en"),
        ("../de", "en"),
        ("deu", "en"),
    ],
)
def test_the_first_language_that_we_have_is_taken(tags: str, language: str) -> None:
    assert find_language(tags) == language


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "de_AT", "LC_MESSAGES": "en_US"}, "de"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:de"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "en:de"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": ""}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANGUAGE": "de", "LC_ALL": "POSIX"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
    ],
)
def test_the_environment_names_the_language_by_the_rule_of_gettext(environ: dict[str, str], language: str) -> None:
    assert language_of_environment(environ) == language
