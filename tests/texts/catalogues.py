"""The catalogues of `texts/`, made of the source's texts: `python -m tests.texts.catalogues` brings them up to date.

What is new has no translation yet; what the source does not have any more is dropped. Nothing is guessed: a text that was
changed is a new one.
"""

import io
import typing
from collections.abc import Iterator
from pathlib import Path

import typer
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract, extract_from_dir
from babel.messages.pofile import read_po, write_po

from client.bulk import ANSWERS, LineAnswer
from client.commands.help_texts import texts_of
from client.refusals import REFUSALS
from client.words import ACTIONS, Shown
from domain.findings import SENTENCES, Finding
from runtime.texts import FOLDER, words_of
from starter import app

ROOT = FOLDER.parent
_METHODS = [("**/templates/**", "jinja2"), ("**.py", "python")]
_JINJA = {"**/templates/**": {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}}
_SEARCHED = ("activities", "client", "sandbox")
_KEYWORDS = {**DEFAULT_KEYWORDS, "translate": None}
_WIDTH = 120
_HEADER = r"""# Translate the empty ones; `make texts` adds what is new in the source and drops what is gone.
msgid ""
msgstr ""
"Language: {catalog.locale_identifier}\n"
"Plural-Forms: {catalog.plural_forms}\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"

"""


def source_texts() -> Catalog:
    """What is to be translated, each with the files in which it stands."""
    catalog = Catalog()
    for folder in _SEARCHED:
        found = extract_from_dir(ROOT / folder, _METHODS, _JINJA, keywords=_KEYWORDS)
        for name, _, text, comments, context in found:
            catalog.add(text, locations=[(f"{folder}/{name}", 0)], auto_comments=comments, context=context)
    for place, text, context in _other_texts():
        catalog.add(text, locations=[(place, 0)], context=context)
    return catalog


def _other_texts() -> Iterator[tuple[str, str, str | None]]:
    """What is translated by its value: where it is, and its context."""
    starter = (ROOT / "starter.py").open("rb")
    with starter:
        for _, text, _, _ in extract("python", starter, _KEYWORDS):
            yield "starter.py", str(text), None
    yield from (("starter.py", text, None) for text in texts_of(typer.main.get_command(app)))
    yield from (("client/refusals.py", text, None) for text in REFUSALS)
    for codes in typing.get_args(Shown):
        yield from (("client/words.py", words_of(code), codes.__name__) for code in codes)
    sentences = (sentence for both in SENTENCES.values() for sentence in both)
    yield from (("domain/findings.py", sentence, Finding.__name__) for sentence in sentences)
    yield from (("client/words.py", action, "Action") for action in ACTIONS)
    yield from (("client/words.py", answer.replace("_", " "), LineAnswer.__name__) for answer in ANSWERS)


def catalogue_files() -> list[Path]:
    return sorted(FOLDER.glob("*/LC_MESSAGES/messages.po"))


def read_catalogue(file: Path) -> Catalog:
    with file.open("rb") as opened:
        return read_po(opened, locale=file.parent.parent.name)


def updated(file: Path) -> str:
    """The text of the catalogue as it should be."""
    catalog = read_catalogue(file)
    catalog.update(source_texts(), no_fuzzy_matching=True)
    written = io.BytesIO()
    write_po(
        written,
        catalog,
        width=_WIDTH,
        omit_header=True,
        include_lineno=False,
        ignore_obsolete=True,
        sort_by_file=True,
    )
    return _HEADER.format(catalog=catalog) + written.getvalue().decode()


if __name__ == "__main__":
    for catalogue in catalogue_files():
        catalogue.write_text(updated(catalogue), encoding="utf-8")
