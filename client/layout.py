"""Text that fits a terminal: a line ends between two words, and never within one, within a date or within an amount."""

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_UNIT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: UTC)?(?!\w)\S*|\d[\d.]* [A-Z]{3}(?!\w)\S*|\S+")
"""What stays in one line. What is longer than a line alone is broken anywhere."""


class Prose:
    """A paragraph; from its second line on it is indented."""

    def __init__(self, text: Text | str, *, style: str = "", indent: int = 0) -> None:
        self.text = Text(text, style=style) if isinstance(text, str) else text
        self._indent = indent

    @property
    def longest(self) -> int:
        """Cells that it needs at least."""
        return max((cell_len(unit[0]) for unit in _UNIT.finditer(self.text.plain)), default=0)

    @property
    def widest(self) -> int:
        """Cells of its longest line, where there is room for all of them."""
        return max(cell_len(line) for line in self.text.plain.split("\n"))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.longest, self.widest).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = (part for line in self.text.split(allow_blank=True) for part in self._parts(line, options.max_width))
        yield Text("\n").join(lines)

    def _parts(self, line: Text, width: int) -> Iterator[Text]:
        plain, begin, end = line.plain, 0, 0
        indent = ""
        for unit in _UNIT.finditer(plain):
            if end > begin and len(indent) + cell_len(plain[begin : unit.end()]) > width:
                yield Text.assemble(indent, line[begin:end])
                begin, indent = unit.start(), " " * self._indent
            end = unit.end()
        yield Text.assemble(indent, line[begin:])


class Rows:
    """A table. Where a line is too short for it, the widest columns become as narrow as their longest word allows."""

    def __init__(self, *heads: str, between: int = 2) -> None:
        """The heads are translated already. `between`: the blanks between two columns."""
        self._between = between
        self._heads = [Prose(head) for head in heads]
        self._right = [False] * len(heads)
        self._rows: list[tuple[list[Prose], str]] = []

    def add_column(self, head: str, *, right: bool = False) -> None:
        self._heads.append(Prose(head))
        self._right.append(right)

    def add_row(self, *cells: Text | str, style: str = "") -> None:
        missing = len(self._heads) - len(cells)
        self._rows.append(([*map(Prose, cells), *(Prose("") for _ in range(missing))], style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=None, padding=(0, self._between, 0, 0), pad_edge=False, header_style="dim")
        for head, right, width in zip(self._heads, self._right, self._widths(options.max_width), strict=True):
            table.add_column(head, justify="right" if right else "left", width=width, overflow="fold")
        for cells, style in self._rows:
            table.add_row(*cells, style=style)
        yield table

    def _widths(self, width: int) -> list[int]:
        columns = list(zip(self._heads, *(cells for cells, _ in self._rows), strict=True))
        least = [max(cell.longest for cell in column) for column in columns]
        wanted = [max(cell.widest for cell in column) for column in columns]
        too_much = sum(wanted) + self._between * (len(columns) - 1) - width
        while too_much > 0 and (shrinkable := [at for at, cells in enumerate(wanted) if cells > least[at]]):
            widest = max(shrinkable, key=lambda at: wanted[at])
            wanted[widest] -= 1
            too_much -= 1
        return wanted
