"""The catalogues of `texts/`, made of the source's texts: `python -m tests.texts.catalogues` brings them up to date.

What is new has no translation yet; what the source does not have any more is dropped. Nothing is guessed: a text that was
changed is a new one.
"""

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from runtime.texts import FOLDER

ROOT = FOLDER.parent
_METHODS = [("**/templates/**", "jinja2"), ("**.py", "python")]
_JINJA = {"**/templates/**": {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}}
_SEARCHED = ("activities", "client", "sandbox")
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
        for name, _, text, comments, context in extract_from_dir(ROOT / folder, _METHODS, _JINJA):
            catalog.add(text, locations=[(f"{folder}/{name}", 0)], auto_comments=comments, context=context)
    return catalog


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
