"""What `doctor` shows: a line for each thing that can be wrong, with its mark."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from client.diagnosis import WORKER_WAIT, Diagnosis, Waiting
from client.layout import Prose
from client.runs import seconds
from client.views import plain
from client.words import sentence_of, words
from domain.examination import Counterpart, Examination
from runtime import search_attributes
from runtime.plugin import TASK_QUEUE
from runtime.texts import translate

_MARKS = {True: ("✓ ", "green"), False: ("✗ ", "bold red")}
_FINDING_MARKS = {True: ("✓ ", "green"), False: ("– ", "yellow")}
"""What an order management system cannot do is no failure. The marks differ, for terminals without colours."""


def diagnosis_view(found: Diagnosis) -> RenderableType:
    return Group(*_list_lines(found))


def _list_lines(found: Diagnosis) -> Iterator[Prose]:
    at = {"address": found.address, "namespace": found.namespace}
    yield _line(translate("Temporal answers at {address}; its namespace is {namespace}.", **at), good=True)
    yield _search_attributes_line(found)
    if found.examination is not None:
        yield from _examination_lines(found.examination, found.waiting)
    elif found.polling:
        waited = translate(
            "A worker has polled the task queue {queue} in the last two minutes, and none has answered within {wait}. "
            "Look at the log of the workers.",
            queue=TASK_QUEUE,
            wait=seconds(WORKER_WAIT),
        )
        yield _line(waited, good=False)
    else:
        absent = translate("No worker polls the task queue {queue}. Start one: python worker.py run", queue=TASK_QUEUE)
        yield _line(absent, good=False)


def _search_attributes_line(found: Diagnosis) -> Prose:
    if not found.missing_search_attributes:
        return _line(translate("The namespace has all search attributes."), good=True)
    lacking = translate(
        "Namespace {namespace} lacks search attributes; create them with: {command}",
        namespace=found.namespace,
        command=search_attributes.creating_command(found.missing_search_attributes, found.namespace),
    )
    return _line(lacking, good=False)


def _examination_lines(examination: Examination, waiting: Sequence[Waiting]) -> Iterator[Prose]:
    answers = translate(
        "A worker answers: version {version}, policy {policy}.",
        version=examination.version,
        policy=examination.policy_version,
    )
    yield _line(answers, good=True)
    runs = {found.counterpart: found.runs for found in waiting}
    for answer in sorted(examination.answers, key=lambda answer: answer.counterpart is Counterpart.ORDERS):
        said = answer.failure or translate("answers.")
        yield _line(f"{words(answer.counterpart)}: {said}", good=answer.failure is None)
        if answer.counterpart in runs:
            yield _waiting_line(runs.pop(answer.counterpart))
    for counterpart, count in runs.items():
        asked = translate("{system}: it is asked only for a cancellation.", system=words(counterpart))
        yield Prose(Text.assemble(_FINDING_MARKS[False], plain(asked)), indent=2)
        yield _waiting_line(count)
    for finding in examination.findings:
        mark = _FINDING_MARKS[finding.known]
        yield Prose(Text.assemble("  ", mark, plain(sentence_of(finding))), indent=4)


def _waiting_line(runs: int) -> Prose:
    waits = translate("Cancellations that wait for it, and go on by themselves: {runs}", runs=runs)
    return Prose(Text.assemble("  ", _FINDING_MARKS[False], plain(waits)), indent=4)


def _line(text: str, *, good: bool) -> Prose:
    return Prose(Text.assemble(_MARKS[good], plain(text)), indent=2)
