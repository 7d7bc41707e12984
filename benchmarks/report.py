"""What was measured, for people: on the terminal, and as the block of docs/performance.md that is written anew."""

import re
from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.figures import Crowd, Measured, Ratio, Subject, Times, ratios

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

_TITLES = {
    Subject.FLOOR: "floor: four empty activities",
    Subject.CAPTURED: "captured card, no parcel",
    Subject.LABEL: "captured card, a label",
}
_PRODUCT = (Subject.CAPTURED, Subject.LABEL)


def replace_block(page: str, block: str) -> str:
    """The page with the block between its markers. Raises ValueError when it has not both of them, once, in that order."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"The page needs the lines {BEGIN} and {END}, once each; what is measured goes between them.")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def terminal_view(measured: Measured) -> RenderableType:
    figures = Table("", *(_TITLES[subject] for subject in Subject), title="Medians" if len(measured.rounds) > 1 else "")
    for column in figures.columns[1:]:
        column.justify = "right"
    for row in _figures(measured):
        figures.add_row(*row)
    found = ratios(measured.rounds)
    against = Table("times the floor", *(_TITLES[subject] for subject in _PRODUCT))
    for what, of in _by_what(found).items():
        against.add_row(what, *(Text(_ratio(ratio), style="green" if ratio.reached else "yellow") for ratio in of))
    parts: list[RenderableType] = [figures, against, *map(Text, _of_the_product(measured)), Text(_made_on(measured))]
    if not measured.quiet:
        parts.append(Text(_NOT_QUIET, style="bold yellow"))
    return Group(*parts)


def page_block(measured: Measured, plot: str) -> str:
    """Markdown. `plot` is the picture's path as seen from the page."""
    parts = [
        _made_on(measured),
        *([] if measured.quiet else [f"**{_NOT_QUIET}**"]),
        _markdown(["", *(_TITLES[subject] for subject in Subject)], _figures(measured)),
        "\n".join(f"- {sentence}" for sentence in _of_the_product(measured)),
        "Times the floor, each with its aim:",
        _markdown(
            ["", *(_TITLES[subject] for subject in _PRODUCT)],
            [[what, *map(_ratio, of)] for what, of in _by_what(ratios(measured.rounds)).items()],
        ),
        f"![CPU of a run by process, and runs a second]({plot})",
    ]
    return "\n\n".join(parts)


_NOT_QUIET = "The machine was busy with something else when this began: the figures check the tool, and say no more."


def _made_on(measured: Measured) -> str:
    sizes, machine = measured.sizes, measured.machine
    rounds = "one round" if sizes.rounds == 1 else f"medians of {sizes.rounds} rounds"
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"{measured.at:%Y-%m-%d}, {rounds} of {sizes.alone} runs one at a time and {sizes.crowd} runs {sizes.concurrency} "
        f"at a time, in {measured.seconds / 60:.0f} minutes. {machine.cores} cores, {re.sub(r' +', ' ', machine.cpu)}, "
        f"{machine.system}; load average {measured.load_before:.1f} before, {measured.load_after:.1f} after. "
        f"Python {machine.python}, Temporal server {machine.temporal_server}, SQLite {machine.sqlite}, {packages}."
    )


def _figures(measured: Measured) -> list[list[str]]:
    of = measured.median.subjects

    def row(what: str, figure: Callable[[Subject], str]) -> list[str]:
        return [what, *map(figure, Subject)]

    def spent(process: str) -> Callable[[Subject], str]:
        return lambda subject: f"{of[subject].one_worker.cpu[process]:.1f} ms"

    many = f"{measured.sizes.concurrency} at a time"
    return [
        row("one at a time: decision (of the floor: the answer), p50 / p99", lambda s: _answers(of[s].alone)),
        row("one at a time: whole run, p50 / p99", lambda s: _runs(of[s].alone)),
        row(f"{many}, one worker process: runs/s", lambda s: f"{of[s].one_worker.runs_per_second:.1f}"),
        row(f"{many}, one worker process: decision, p50 / p99", lambda s: _answers(of[s].one_worker.times)),
        row(f"{many}, one worker process: whole run, p50 / p99", lambda s: _runs(of[s].one_worker.times)),
        row(f"{many}, two worker processes: runs/s", lambda s: f"{of[s].two_workers.runs_per_second:.1f}"),
        row(f"{many}, two worker processes: decision, p50 / p99", lambda s: _answers(of[s].two_workers.times)),
        row(f"{many}, two worker processes: whole run, p50 / p99", lambda s: _runs(of[s].two_workers.times)),
        row("CPU a run: worker", spent("worker")),
        row("CPU a run: two workers together", lambda s: f"{of[s].two_workers.cpu['worker']:.1f} ms"),
        row("CPU a run: Temporal server", spent("Temporal")),
        row("CPU a run: gateway stand-in", spent("gateway")),
        row("CPU a run: carrier stand-in", spent("carrier")),
        row("CPU a run: mail stand-in", spent("mail")),
        row("CPU a run: the caller", spent("caller")),
        row("peak memory of the worker", lambda s: f"{of[s].one_worker.peak:.0f} MiB"),
        row("events / workflow tasks a run", lambda s: _written(of[s].one_worker)),
        row("activities / local activities a run", lambda s: _activities(of[s].one_worker)),
        row(
            "failed attempts, one worker process / two",
            lambda s: f"{of[s].one_worker.failed_attempts:g} / {of[s].two_workers.failed_attempts:g}",
        ),
    ]


def _of_the_product(measured: Measured) -> list[str]:
    replay = measured.replay
    return [
        f"A run that waits for an approval holds {measured.median.waiting_memory:.0f} KiB of the worker's memory.",
        (
            f"Replay: {replay.histories_per_second:.1f} histories a second ({replay.histories} histories of "
            f"{replay.events / replay.histories:.0f} events each in the mean), "
            f"{1000 * replay.cpu / replay.histories:.0f} ms CPU each."
        ),
    ]


def _answers(times: Times) -> str:
    return f"{_time(times.answer_p50)} / {_time(times.answer_p99)}"


def _runs(times: Times) -> str:
    return f"{_time(times.run_p50)} / {_time(times.run_p99)}"


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _written(crowd: Crowd) -> str:
    return f"{_number(crowd.counts.events)} / {_number(crowd.counts.workflow_tasks)}"


def _activities(crowd: Crowd) -> str:
    return f"{_number(crowd.counts.activities)} / {_number(crowd.counts.local_activities)}"


def _number(mean: float) -> str:
    return f"{round(mean, 1):g}"


def _ratio(found: Ratio) -> str:
    aim = f"{'at least' if found.at_least else 'at most'} {found.aim:.2f}"
    return f"{'✓' if found.reached else '✗'} {found.ratio:.2f} ({aim})"


def _by_what(found: Sequence[Ratio]) -> dict[str, list[Ratio]]:
    rows: dict[str, list[Ratio]] = {}
    for ratio in found:
        rows.setdefault(ratio.what, []).append(ratio)
    return rows


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
