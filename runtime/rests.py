"""How long a loop rests between two turns."""


class Rests:
    """The usual pause, in seconds; while what the loop needs is away, twice as long each time, up to a minute: it is said
    once at each turn, and nobody reads a line a second."""

    LONGEST = 60.0

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._next = usual

    def after_success(self) -> float:
        self._next = self._usual
        return self._usual

    def after_failure(self) -> float:
        now, self._next = self._next, min(self._next * 2, max(self.LONGEST, self._usual))
        return now
