"""The facts of a cancellation as a list that grows: as the books wrote them, and what only a run knows."""

from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

from domain.facts import Entry, Fact, Requested

F = TypeVar("F", bound=Fact)


class FactList:
    """Found by kind without a search. An entry of the books that is there already is not added again."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._positions: dict[type[object], list[int]] = {}  # of the facts of each kind
        self._seen: set[int] = set()

    def add(self, *entries: Entry) -> None:
        """Add entries as the books wrote them."""
        for entry in entries:
            if entry.seq and entry.seq in self._seen:
                continue
            if entry.seq and isinstance(entry.fact, Requested):
                # The run's own idea of who opened the cancellation gives way to the books'.
                self._restart(e for e in self._entries if not isinstance(e.fact, Requested))
            if entry.seq:
                self._seen.add(entry.seq)
            self._append(entry)

    def replace(self, entries: Iterable[Entry]) -> None:
        """The books know better than this run. It keeps what it was asked, which books of a backup may not know."""
        asked = [Entry(seq=0, at=e.at, fact=e.fact) for e in self._entries if isinstance(e.fact, Requested)]
        self._restart(asked[:1])
        self._seen = set()
        self.add(*entries)

    def _append(self, entry: Entry) -> None:
        self._positions.setdefault(type(entry.fact), []).append(len(self._entries))
        self._entries.append(entry)

    def _restart(self, entries: Iterable[Entry]) -> None:
        kept = tuple(entries)
        self._entries, self._positions = [], {}
        for entry in kept:
            self._append(entry)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    @property
    def last_seq(self) -> int:
        """The number of the last entry from the books."""
        return max(self._seen, default=0)

    @property
    def has_all_entries(self) -> bool:
        """No entry of the books is missing up to `last_seq`."""
        return len(self._seen) == self.last_seq

    def _all(self, kind: type[F]) -> Iterator[F]:
        return (cast("F", self._entries[at].fact) for at in self._positions.get(kind, ()))

    def _last(self, kind: type[F]) -> F | None:
        at = self._position(kind)
        return cast("F", self._entries[at].fact) if at >= 0 else None

    def _position(self, kind: type[object]) -> int:
        """Where the last fact of this kind stands; -1: there is none."""
        found = self._positions.get(kind)
        return found[-1] if found else -1
