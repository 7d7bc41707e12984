"""The picture of docs/performance.md, as SVG: where the CPU of a run goes, and runs a second."""

from html import escape

from benchmarks.figures import Round, Subject

_COLOURS = {
    "worker": "#2563a8",
    "Temporal": "#e08a1e",
    "gateway": "#6aa84f",
    "carrier": "#9a6fb0",
    "mail": "#c0504d",
    "caller": "#8c8c8c",
}
_NAMES = {Subject.FLOOR: "floor", Subject.CAPTURED: "captured card", Subject.LABEL: "with a label"}
_LEFT, _BAR, _STEP, _LONGEST, _WIDTH = 130, 18, 26, 520, 760


def plot(figures: Round) -> str:
    """Two panels: CPU milliseconds a run, stacked by process; and runs a second by one worker process and by two."""
    of = figures.subjects
    parts = [_text(10, 22, "CPU of a run, in milliseconds", bold=True)]
    y = 34
    scale = _LONGEST / max(sum(subject.one_worker.cpu.values()) for subject in of.values())
    for subject in Subject:
        x = float(_LEFT)
        parts.append(_text(10, y + 14, _NAMES[subject]))
        cpu = of[subject].one_worker.cpu
        for process, colour in _COLOURS.items():
            parts.append(_bar(x, y, cpu[process] * scale, colour))
            x += cpu[process] * scale
        parts.append(_text(x + 6, y + 14, f"{sum(cpu.values()):.0f}"))
        y += _STEP
    for number, (process, colour) in enumerate(_COLOURS.items()):
        x = _LEFT + number * 100
        parts += [_bar(x, y + 4, 12, colour, height=12), _text(x + 18, y + 14, process)]
    y += 48
    parts.append(_text(10, y, "Runs a second: one worker process, and two", bold=True))
    y += 12
    scale = _LONGEST / max(
        crowd.runs_per_second for subject in of.values() for crowd in (subject.one_worker, subject.two_workers)
    )
    for subject in Subject:
        parts.append(_text(10, y + 14, _NAMES[subject]))
        crowds = ((of[subject].one_worker, "#2563a8"), (of[subject].two_workers, "#7fb0de"))
        for crowd, colour in crowds:
            parts.append(_bar(_LEFT, y, crowd.runs_per_second * scale, colour))
            parts.append(_text(_LEFT + crowd.runs_per_second * scale + 6, y + 14, f"{crowd.runs_per_second:.1f}"))
            y += _BAR + 2
        y += 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 6}" width="{_WIDTH}" '
        'font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{y + 6}" fill="white"/>', *parts, "</svg>\n"])


def _bar(x: float, y: float, width: float, colour: str, *, height: float = _BAR) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#222"{weight}>{escape(text)}</text>'
