"""The files of `bulk`: one request a line, in CSV as people and spreadsheets write it, or as JSON.

A spreadsheet sets `;` or tabs between the values where the comma is the decimal mark, may name that mark in a first line
`sep=;`, writes UTF-8 with a mark or UTF-16, and fills rows and columns up with empty values (RFC 4180 is the common ground).
What cannot be read is said with its line and column.
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from client.errors import ExitCode, StarterError
from client.refusals import translate_problems
from client.requests import new_request
from domain.base import Value
from domain.request import Actor, CancellationRequest, Channel, ReasonCode
from runtime.texts import translate

T = TypeVar("T")

COLUMNS = ("order_id", "request_id", "reason", "note")
_SEPARATORS = (",", ";", "\t")
_NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_LONGEST_ROW = 5000
"""Characters. A longer one is no row, but what follows a quotation mark that was never closed."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class Line(Value):
    """A request and where it stands in the file."""

    number: int
    request: CancellationRequest

    @property
    def key(self) -> tuple[str, str]:
        return self.request.order_id, self.request.request_id


class InvalidLine(Value):
    number: int
    sentence: str


@dataclass(frozen=True)
class Defaults:
    """What a CSV file leaves open. The columns `reason` and `note` go first where they are defaults."""

    actor: Actor | None
    channel: Channel
    reason: ReasonCode | None
    note: str


# Rule: A line of a bulk file is a request, or is refused by its column [whichever spreadsheet wrote it]
def decode(content: bytes) -> str:
    """The text of a file, with the line ends of Unix. Raises UnicodeDecodeError."""
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    encoding = _MARKS[mark] if mark else "utf-16-le" if content[1:2] == b"\0" else "utf-8"
    text = content.removeprefix(mark).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\x1a")  # DOS ended its files with it


# Rule: A line of a bulk file is a request, or is refused by its column
def read_lines(text: str, defaults: Defaults) -> Iterator[Line | InvalidLine]:
    """The requests of a file, in CSV or one JSON object a line. Raises StarterError when it is neither, or when the
    `defaults` do not go with it."""
    lines = text.split("\n")
    if text.lstrip().startswith("{"):
        if defaults.actor or defaults.reason or defaults.note:
            raise _wrong_input(translate("JSON lines hold whole requests; give no --actor, --reason or --note."))
        numbered = ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
        return _checked(numbered, CancellationRequest.model_validate_json)
    rows = _rows(lines)
    header = _header_of(rows)
    if defaults.actor is None:
        raise _wrong_input(translate("--actor is needed: a CSV file does not say who asks."))
    return _checked(((row.number, row) for row in rows), lambda row: _request_in(row, header, defaults))


class _Row(NamedTuple):
    """`wrong`: why it is no CSV."""

    number: int
    cells: Sequence[str]
    wrong: str = ""


def _rows(lines: Sequence[str]) -> Iterator[_Row]:
    """The rows that are not empty. The line `sep=` does not count."""
    at = next((n for n, line in enumerate(lines) if line.strip()), len(lines))
    separator = ""
    if at < len(lines) and (named := _NAMED_SEPARATOR.fullmatch(lines[at].strip(" "))):
        separator, at = named[1], at + 1
    while at < len(lines):
        # The first row names the columns, so it shows what is set between them.
        separator = separator or _separator_in(lines[at])
        row, next_at = _row_at(lines, at, separator)
        if row.wrong or any(row.cells):
            yield row
        at = next_at


def _separator_in(header: str) -> str:
    return max(_SEPARATORS, key=header.count)


def _row_at(lines: Sequence[str], at: int, separator: str) -> tuple[_Row, int]:
    """The row that begins here, and where the next one does. A quotation mark that is never closed spoils its own line, and
    not the rest of the file."""
    taken = ""
    for end in range(at, len(lines)):
        taken += lines[end] + "\n"
        if len(taken) > _LONGEST_ROW:
            break
        try:
            [cells] = csv.reader([taken], delimiter=separator, strict=True)
        except (csv.Error, ValueError):
            if taken.count('"') % 2:  # it may go on in the next line: each one within a text is doubled
                continue
            return _Row(at + 1, (), translate("a quotation mark inside of a text is not doubled")), at + 1
        return _Row(at + 1, [cell.strip() for cell in cells]), end + 1
    return _Row(at + 1, (), translate("a quotation mark is not closed")), at + 1


def _header_of(rows: Iterator[_Row]) -> Sequence[str]:
    """The names of the columns, the empty ones at the end left out. Raises StarterError."""
    row = next(rows, None)
    if row is None:
        raise _wrong_input(translate("The file is empty. {hint}", hint=_hint()))
    if row.wrong:
        raise _wrong_input(
            translate("Line {number} cannot be read as CSV: {wrong}.", number=row.number, wrong=row.wrong)
        )
    known = {_letters(name): name for name in COLUMNS}
    names = [known.get(_letters(cell), "") for cell in row.cells]
    unknown = [cell for cell, name in zip(row.cells, names, strict=True) if cell and not name]
    if "order_id" not in names:
        found = translate(", but {columns}", columns=_quoted(unknown)) if unknown else ""
        raise _wrong_input(
            translate(
                "Line {number} names no column order_id{found}. {hint}", number=row.number, found=found, hint=_hint()
            )
        )
    if unknown:
        raise _wrong_input(
            translate(
                "Line {number} names a column {column}, which is not known. {hint}",
                number=row.number,
                column=_quoted(unknown[:1]),
                hint=_hint(),
            )
        )
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise _wrong_input(
            translate("Line {number} names the column {column} twice.", number=row.number, column=twice[0])
        )
    while not names[-1]:
        names.pop()
    return names


def _hint() -> str:
    return translate(
        "The first line of a CSV file names its columns: {first} and, if wanted, {others}.",
        first=COLUMNS[0],
        others=", ".join(COLUMNS[1:]),
    )


def _letters(name: str) -> str:
    """A name of a column however it is spelt: `Order_ID`, `Order ID`, `orderId`."""
    return "".join(char for char in name.casefold() if char.isalnum())


def _quoted(cells: Sequence[str]) -> str:
    shown = ["".join(char if char.isprintable() else " " for char in cell[:40]) for cell in cells[:3]]
    return ", ".join(f'"{cell}"' for cell in shown)


def _request_in(row: _Row, header: Sequence[str], defaults: Defaults) -> CancellationRequest:
    """Raises ValueError, which ValidationError is as well."""
    assert defaults.actor is not None
    if row.wrong:
        raise ValueError(row.wrong)
    if len(row.cells) < len(header):
        raise ValueError(
            translate(
                "it has {values} values, and the header names {columns} columns",
                values=len(row.cells),
                columns=len(header),
            )
        )
    for number, cell in enumerate(row.cells, start=1):
        if cell and not (number <= len(header) and header[number - 1]):
            raise ValueError(translate("it has a value in column {number}, which has no name", number=number))
    values = dict(zip(header, row.cells, strict=False))
    reason = values.get("reason") or defaults.reason
    if reason not in set(ReasonCode):
        raise ValueError(
            translate("reason: it is not one of the reason codes")
            if reason
            else translate("a reason is missing; give --reason")
        )
    return new_request(
        values["order_id"],
        actor=defaults.actor,
        channel=defaults.channel,
        reason=ReasonCode(reason),
        note=values.get("note") or defaults.note,
        request_id=values.get("request_id") or None,
    )


def _checked(
    numbered: Iterable[tuple[int, T]], request_in: Callable[[T], CancellationRequest]
) -> Iterator[Line | InvalidLine]:
    for number, line in numbered:
        try:
            yield Line(number=number, request=request_in(line))
        except ValidationError as error:
            yield InvalidLine(number=number, sentence=translate_problems(error))
        except ValueError as error:
            yield InvalidLine(number=number, sentence=str(error))


def _wrong_input(sentence: str) -> StarterError:
    return StarterError(ExitCode.WRONG_INPUT, sentence)
