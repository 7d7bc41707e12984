"""E14: files of `bulk` as spreadsheets write them. They are read, or refused in one sentence that names the line and the
column."""

from pathlib import Path

import pytest

from client.bulk_file import Defaults, InvalidLine, Line, read_lines
from client.commands.options import read_text
from client.errors import StarterError
from domain.money import money
from domain.request import Actor, ActorKind, Channel, ReasonCode
from order_cancellation import ExitCode
from tests.fixtures.starter import Starter, answers
from tests.system import System
from tests.workflows.samples import captured

MERCHANT = Defaults(Actor(kind=ActorKind.MERCHANT, id="M-1"), Channel.BACK_OFFICE, ReasonCode.OUT_OF_STOCK, "")
EXPECTED = [("O-1", "out_of_stock", "Größe 3; falsch"), ("O-2", "cannot_ship", "")]
PLAIN = 'order_id,reason,note\nO-1,,"Größe 3; falsch"\nO-2,cannot_ship,\n'
GERMAN = 'order_id;reason;note\nO-1;;"Größe 3; falsch"\nO-2;cannot_ship;\n'


def read(folder: Path, content: bytes | str) -> list[Line | InvalidLine]:
    file = folder / "orders.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_lines(read_text("file", str(file)), MERCHANT))


def requests_in(found: list[Line | InvalidLine]) -> list[tuple[str, str, str]]:
    assert not [line.sentence for line in found if isinstance(line, InvalidLine)]
    lines = [line for line in found if isinstance(line, Line)]
    return [(line.request.order_id, line.request.reason.value, line.request.note) for line in lines]


def refusals_in(found: list[Line | InvalidLine]) -> list[tuple[int, str]]:
    return [(line.number, line.sentence) for line in found if isinstance(line, InvalidLine)]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode("utf-8-sig"),
        ("\n\n" + PLAIN + "\n\n  \n").encode(),
        PLAIN.replace("order_id,", " order_id ,").encode(),
        'note,order_id,reason\n"Größe 3; falsch",O-1,\n,O-2,cannot_ship\n'.encode(),
        PLAIN.replace("\n", "\r").encode(),
    ],
    ids=["as documented", "UTF-8 with a mark", "CRLF", "empty lines", "blanks", "another sequence", "CR"],
)
def test_a_file_with_commas_is_read(content: bytes, tmp_path: Path) -> None:
    """F20, E14"""
    assert requests_in(read(tmp_path, content)) == EXPECTED


SPREADSHEETS = {
    "semicolons": GERMAN.encode(),
    "tabs": GERMAN.replace(";;", "\t\t")
    .replace("d;", "d\t")
    .replace("n;n", "n\tn")
    .replace("2;", "2\t")
    .replace("p;", "p\t")
    .encode(),
    "sep": ("sep=;\r\n" + GERMAN.replace("\n", "\r\n")).encode("utf-8-sig"),
    "sep in quotes": ('"sep=;"\n' + GERMAN).encode(),
    "sep of a comma": ("SEP=,\n" + PLAIN).encode(),
    "UTF-16": GERMAN.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + GERMAN.encode("utf-16-be"),
    "UTF-16 without a mark": GERMAN.encode("utf-16-le"),
    "Order_ID": PLAIN.replace("order_id,reason,note", "Order_ID,Reason,NOTE").encode(),
    "Order ID": PLAIN.replace("order_id,reason,note", '"Order ID",Reason , note').encode(),
    "order-id": PLAIN.replace("order_id", "order-id").encode(),
    "OrderId": PLAIN.replace("order_id", "OrderId").encode(),
    "empty columns": PLAIN.replace("\n", ",,\n").encode(),
    "empty columns without their names": PLAIN.replace(",\n", ",,,\n").encode(),
    "empty rows": (GERMAN + ";;\r\n;;;;\r\n").encode(),
    "end of file": (PLAIN + "\x1a").encode(),
}


@pytest.mark.parametrize("content", SPREADSHEETS.values(), ids=SPREADSHEETS.keys())
def test_a_file_of_a_spreadsheet_is_read(content: bytes, tmp_path: Path) -> None:
    """F20, E14"""
    assert requests_in(read(tmp_path, content)) == EXPECTED


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_line_break_in_quotes_is_of_the_note(ends: str, tmp_path: Path) -> None:
    """F20, E14: and the lines after it keep their numbers."""
    rows = ["order_id;note", 'O-1;"zu groß,', "", 'sagt ""sie"""', "O-2;ok", "O 3;x"]
    found = read(tmp_path, ends.join([*rows, ""]))
    assert [(line.number, line.request.note) for line in found if isinstance(line, Line)] == [
        (2, 'zu groß,\n\nsagt "sie"'),
        (5, "ok"),
    ]
    assert [number for number, _ in refusals_in(found)] == [6]


def test_a_mark_of_inches_is_of_the_note(tmp_path: Path) -> None:
    """E14: it begins no text in quotation marks."""
    found = read(tmp_path, 'order_id,note\nO-1,a 5" cup\nO-2,5" and 6"\n')
    assert [line.request.note for line in found if isinstance(line, Line)] == ['a 5" cup', '5" and 6"']


def test_a_quotation_mark_that_is_never_closed_spoils_its_line_alone(tmp_path: Path) -> None:
    """E14"""
    found = read(
        tmp_path,
        'order_id,note\nO-1,"open\nO-2,ok\nO-3,"fine, too"\nO-4,"\n' + "".join(f"O-{n},\n" for n in range(5, 3000)),
    )
    assert [number for number, _ in refusals_in(found)] == [2, 5]
    assert len(found) == 2999


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "The file is empty."),
        ("\n \n;;\n", "The file is empty."),
        (
            "O-1\nO-2\n",
            'Line 1 names no column order_id, but "O-1". The first line',
        ),
        (
            "Nummer;Grund\nO-1;other\n",
            'Line 1 names no column order_id, but "Nummer", "Grund". The first line',
        ),
        (
            "order_id,resaon\nO-1,other\n",
            'Line 1 names a column "resaon", which is not known. The first line',
        ),
        ("sep=;\norder_id;Order ID\n", "Line 2 names the column order_id twice."),
        ("order_id\x1b[2J\n", "Line 1 names no column order_id"),
        ('"order_id\nO-1\n', "Line 1 cannot be read as CSV: a quotation mark is not closed."),
    ],
)
def test_a_file_that_is_not_understood_is_refused_by_line_and_column(content: str, said: str, tmp_path: Path) -> None:
    """F20, E14"""
    with pytest.raises(StarterError) as refused:
        read(tmp_path, content)
    assert refused.value.code is ExitCode.WRONG_INPUT
    assert refused.value.sentence.startswith(said)
    assert refused.value.sentence.isprintable()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("O-1,,,,x", "it has a value in column 5, which has no name"),
        ("O-1,R-1", "it has 2 values, and the header names 4 columns"),
        ("O-1,R-1,bored,x", "reason: it is not one of the reason codes"),
        (",R-1,,x", "order_id: it is empty"),
        ('O-1,R-1,,"a"b', "a quotation mark inside of a text is not doubled"),
        ('O-1,R-1,,"a', "a quotation mark is not closed"),
    ],
)
def test_a_row_that_is_not_understood_is_refused_by_its_column(row: str, said: str, tmp_path: Path) -> None:
    """F20, E14"""
    found = read(tmp_path, f"order_id,request_id,reason,note\n{row}\nO-2,,,\n")
    assert refusals_in(found) == [(2, said)]
    assert len(found) == 2


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """F20, E14: a German spreadsheet of old writes Windows-1252."""
    with pytest.raises(StarterError, match="is not UTF-8") as refused:
        read(tmp_path, GERMAN.encode("cp1252"))
    assert refused.value.code is ExitCode.WRONG_INPUT


async def test_a_german_spreadsheets_file_is_carried_out(open_system: System, starter: Starter, tmp_path: Path) -> None:
    """F20, E14, D12: with the mark and the line `sep=`, and a line break in a note."""
    samples = [captured(parcels=()), captured(parcels=())]
    for sample in samples:
        await open_system.shop.place_order(sample)
    rows = ["sep=;", "Order ID;Note;", f'{samples[0].order_id};"zu groß;\nzu spät";', f"{samples[1].order_id};;", ";;"]
    file = tmp_path / "Aufträge.csv"
    file.write_bytes("\r\n".join([*rows, ""]).encode("utf-16"))
    done = await starter("bulk", str(file), "--actor", "merchant:M-1", "--reason", "out_of_stock")
    assert done.code == ExitCode.DONE, done.err
    assert {answer.order_id for answer in answers(file)} == {sample.order_id for sample in samples}
    for sample in samples:
        await open_system.end(open_system.current(sample.order_id))
        assert await open_system.refunds(sample.order_id) == [money("64.00 USD")]
