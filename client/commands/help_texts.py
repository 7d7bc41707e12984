"""The help of the commands in the language of the process. It is written in English where a command and its options are;
`make texts` finds it there."""

from collections.abc import Iterator
from typing import Any

from runtime.texts import translate

_AS_IT_IS = "\b\n"
"""Begins a paragraph whose lines stay as they are."""


def texts_of(command: Any) -> Iterator[str]:
    """What is to be translated of a command and of those below it."""
    for text in (command.help, command.epilog, *(getattr(parameter, "help", None) for parameter in command.params)):
        yield from (paragraph.removeprefix(_AS_IT_IS) for paragraph in _paragraphs(text))
    for below in _commands_below(command):
        yield from texts_of(below)


# Rule: The command line speaks the language of its reader [help]
def translate_help(command: Any) -> None:
    """Of a command and of those below it, before they are shown."""
    command.help, command.epilog = _translated(command.help), _translated(command.epilog)
    for parameter in command.params:
        if text := getattr(parameter, "help", None):
            parameter.help = _translated(text)
    english = command.get_help
    command.get_help = lambda context: _with_headings(english(context))
    for below in _commands_below(command):
        translate_help(below)


def _commands_below(command: Any) -> Iterator[Any]:
    yield from getattr(command, "commands", {}).values()


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").split("\n\n"):
        yield paragraph.strip("\n") if paragraph.startswith(_AS_IT_IS) else " ".join(paragraph.split())


def _translated(text: str | None) -> str | None:
    if not text:
        return text
    return "\n\n".join(
        f"{_AS_IT_IS}{translate(paragraph.removeprefix(_AS_IT_IS))}"
        if paragraph.startswith(_AS_IT_IS)
        else translate(paragraph)
        for paragraph in _paragraphs(text)
    )


def _with_headings(text: str) -> str:
    """With the library's own words translated."""
    for english, translated in (
        ("Usage:", translate("Usage:")),
        ("Arguments:", translate("Arguments:")),
        ("Options:", translate("Options:")),
        ("Commands:", translate("Commands:")),
        ("Show this message and exit.", translate("Show this message and exit.")),
        ("[default: ", translate("[default: ")),
        ("[required]", translate("[required]")),
    ):
        text = text.replace(english, translated)
    return text
