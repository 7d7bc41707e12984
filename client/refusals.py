"""Refused input in the language of the process. The domain, and the libraries that read values and the command line, speak
English alone, so their sentences are recognised by their form."""

import re

from pydantic import ValidationError

from domain.base import BAD_ID, problems_of
from runtime.texts import translate

# Rule: The command line speaks the language of its reader [refused input]
REFUSALS = (
    # of the command line
    "Missing option {option}. {choices}",
    "Missing option {option}.",
    "Missing argument {argument}. {choices}",
    "Missing argument {argument}.",
    "No such option: {option} (Possible options: {others})",
    "No such option: {option}",
    "No such command {command}.",
    "No such command {command}. Did you mean {others}?",
    "Choose from: {values}",
    "Option {option} requires an argument.",
    "Option {option} does not take a value.",
    "Got unexpected extra argument(s) ({arguments})",
    "Invalid value for {option}: {why}",
    "{value} is not one of {values}.",
    # of a value
    "it is missing",
    "it is empty",
    "a JSON object is needed",
    "it is no JSON (line {line} column {column})",
    "there is no such field; it may be misspelt",
    "name at least {count}",
    "name at most {count}",
    "write at most {count} characters",
    "it has to be at least {least}",
    "it has to be more than {least}",
    "it has to be at most {most}",
    "it has to be less than {most}",
    "a whole number is needed",
    "a number is needed",
    "true or false is needed",
    "a text is needed",
    "a list is needed",
    "names with values are needed",
    "write a duration such as PT12H or P3D",
    "write an instant such as 2027-01-31T18:00:00Z",
    "write a day such as 2027-01-31",
    "it has to be one of {values}",
    # of the operating system
    "Is a directory",
    "No space left on device",
    "No such file or directory",
    "Permission denied",
    # of the domain
    BAD_ID,
    "write who acts as KIND:ID, where KIND is one of {kinds}",
    "a customer asks for their own orders only: customer_id must be the actor's id",
    "the reason 'other' needs a note",
    "each order line may be named once",
    "a statutory withdrawal is from goods: name lines, or leave `shipping` out for the whole order",
    "it has a character that cannot be seen ({char}); leave it out",
    "it has a line break; write it in one line",
    "it names no proof; a letter or a digit at least",
)
_FORMS = tuple(
    (template, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(template)))) for template in REFUSALS
)


def translate_refusal(sentence: str) -> str:
    """A sentence whose form is not known stays English."""
    for template, form in _FORMS:
        if found := form.fullmatch(sentence):
            return translate(template, **{name: translate_refusal(part) for name, part in found.groupdict().items()})
    return sentence


def translate_problems(error: ValidationError) -> str:
    """What is wrong with a message or a value: each field with the reason, never the value."""
    problems = ((place, translate_refusal(why)) for place, why in problems_of(error))
    return "; ".join(f"{place}: {why}" if place else why for place, why in problems)
