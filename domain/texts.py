"""What people and other systems write: the texts that a message may carry, and how the others are shown.

A text that somebody sends us is refused where it is typed when it has a character that cannot be seen: a database does not
keep NUL, a terminal obeys an escape, and a direction mark makes a reference read as another one. A text that is the
merchant's (the title of a line) was typed elsewhere, so it is shown without them.
"""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

# Unicode's controls, separators of lines, marks of direction, and what takes no room or shows nothing. The joiners U+200C
# and U+200D are not among them: Persian and emoji are written with them.
_UNSEEN_BUT_BREAKS = (
    r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    r"\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb"
)
# Halves of surrogate pairs besides: no JSON document has them, but Python's command line and parser let them pass.
_BEYOND = r"\U0001d173-\U0001d17a\U000e0000-\U000e007f"
"""The same beyond U+FFFF, which a `pattern` of JSON Schema cannot name everywhere."""
_UNSEEN = re.compile(rf"[{_UNSEEN_BUT_BREAKS}{_BEYOND}\ud800-\udfff]")
_UNSEEN_IN_LINE = re.compile(rf"[{_UNSEEN_BUT_BREAKS}{_BEYOND}\ud800-\udfff\t\n\r]")
_LINE_BREAK = re.compile(r"\r\n?")


def _refuse(unseen: re.Pattern[str], text: str) -> None:
    if found := unseen.search(text):
        char = f"U+{ord(found.group()):04X}"
        raise PydanticCustomError(
            "text", "it has a character that cannot be seen ({char}); leave it out", {"char": char}
        )


def _check_lines(text: Any) -> Any:
    """Line breaks are those of Unix, and blanks around the text are no part of it."""
    if not isinstance(text, str):
        return text
    text = _LINE_BREAK.sub("\n", text).strip(" \t\n")
    _refuse(_UNSEEN, text)
    return text


def _check_line(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    text = text.strip()
    if "\n" in text or "\r" in text:
        raise PydanticCustomError("text", "it has a line break; write it in one line")
    _refuse(_UNSEEN_IN_LINE, text)
    return text


def _check_reference(text: Any) -> Any:
    text = _check_line(text)
    if isinstance(text, str) and not any(char.isalnum() for char in text):
        raise PydanticCustomError("text", "it names no proof; a letter or a digit at least")
    return text


_LINES = {"pattern": rf"^[^{_UNSEEN_BUT_BREAKS}]*$"}
_LINE = {"pattern": rf"^[^{_UNSEEN_BUT_BREAKS}\t\n\r]*$"}

# Rule: A text that a person sends has no character that cannot be seen
Note = Annotated[str, Field(max_length=500, json_schema_extra=_LINES), BeforeValidator(_check_lines)]
"""A text that a person sends, in one line or several; kept without the blanks around it."""

# Rule: A text that a person sends has no character that cannot be seen [a proof]
Reference = Annotated[
    str, Field(min_length=1, max_length=100, json_schema_extra=_LINE), BeforeValidator(_check_reference)
]
"""A person's proof of what they did outside; kept in the books, in one line and without the blanks around it."""

Target = Annotated[str, Field(min_length=1, max_length=255, json_schema_extra=_LINE), BeforeValidator(_check_line)]
"""What a step is about, as the status names it: an order, a shipment or a tender."""

MessageSignature = Annotated[str, Field(max_length=2000, json_schema_extra=_LINE), BeforeValidator(_check_line)]
"""What proves who sent a message. Carried and not checked yet; without it a claim is worth what the policy says."""

_LONGEST_SHOWN = 500


# Rule: A text that a person sends has no character that cannot be seen [the merchant's are shown without]
def one_line(text: str) -> str:
    """A text of the merchant's in one line of a mail, without what cannot be seen and no longer than a note may be."""
    line = " ".join(_UNSEEN.sub("", text).split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1]}…"
