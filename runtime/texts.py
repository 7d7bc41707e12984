"""The texts that people read, in their language.

English stands in the source: in the code, and in the templates of mails and pages. Each other language has a catalogue,
`texts/LANGUAGE/LC_MESSAGES/messages.po`, which is read with Babel when the first text of that language is wanted. Nothing
compiled is kept, and who reads English loads nothing. `make texts` brings the catalogues up to date with the source.
"""

import io
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

SOURCE = "en"
FOLDER = Path(__file__).resolve().parents[1] / "texts"
_CATALOGUES = {file.parent.parent.name: file for file in sorted(FOLDER.glob("*/LC_MESSAGES/messages.po"))}
LANGUAGES = (SOURCE, *_CATALOGUES)

_UNTRANSLATED = {"C", "POSIX"}
"""Locales that ask for a program's own words."""


# Rule: Somebody reads in the first of their languages that we have
def find_language(tags: str) -> str:
    """The first of our languages among these, whatever their region: IETF tags or names of POSIX locales, with `:` or `,`
    between them (`de-AT`, `fr:de_CH.UTF-8`, `de;q=0.9, en`). English where none is ours."""
    spoken = (re.split(r"[-_.@;]", tag.strip(), maxsplit=1)[0].lower() for tag in re.split("[:,]", tags))
    return next((language for language in spoken if language in LANGUAGES), SOURCE)


# Rule: The command line speaks the language of its reader
def language_of_environment(environ: Mapping[str, str]) -> str:
    """By the rule of gettext: `LANGUAGE` goes first, a list with `:`, unless the locale of messages is C."""
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return SOURCE if locale in _UNTRANSLATED else find_language(environ.get("LANGUAGE") or locale)


# Rule: Somebody reads in the first of their languages that we have [its texts]
@cache
def translations(language: str) -> NullTranslations:
    """The texts of one of our languages. Those of English are the source's own."""
    if language == SOURCE:
        return NullTranslations()
    from babel.messages.mofile import write_mo  # noqa: PLC0415 (English needs nothing of Babel)
    from babel.messages.pofile import read_po  # noqa: PLC0415

    compiled = io.BytesIO()
    with _CATALOGUES[language].open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


class _Process:
    """The texts in the language of this process, for one that has a single reader. Of a library or a server nobody knows the
    reader, and it speaks English."""

    texts = NullTranslations()


def use_language(language: str) -> None:
    """From here on, what this process translates is in this language."""
    _Process.texts = translations(language)


def translate(text: str, **words: object) -> str:
    """The text in the language of the process, with these words in place of `{…}`."""
    return _Process.texts.gettext(text).format(**words)


def translate_code(code: StrEnum) -> str:
    """The word of a closed set's code."""
    return translate_word(type(code).__name__, words_of(code))


def translate_word(kind: str, word: str) -> str:
    """A word by its kind: the same word may mean something else elsewhere."""
    return _Process.texts.pgettext(kind, word)


def words_of(code: StrEnum) -> str:
    """In English."""
    return code.value.replace("_", " ")
