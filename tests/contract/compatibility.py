"""What a change of a schema breaks for those who built on the schema as it was."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_SAYS_NOTHING = {"$schema", "$defs", "title", "description", "examples", "deprecated"}
_AT_LEAST = {"minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"}
_AT_MOST = {"maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"}
_LIMITS = {*_AT_LEAST, *_AT_MOST, "pattern", "format", "multipleOf", "uniqueItems"}
_PARTS = {"items": "[]", "additionalProperties": ".*"}
_COMPARED = {"type", "enum", "const", "anyOf", "oneOf", "default", "properties", "required", *_LIMITS, *_PARTS}


def breaks(old: Schema, new: Schema, *, sent: bool) -> list[str]:
    """A sentence for each thing that breaks. `sent`: callers send it, and what was accepted still has to be. Else it is
    answered: what readers found they have to find in the same form; new fields and new enum values they tolerate."""
    comparison = _Comparison(old.get("$defs", {}), new.get("$defs", {}), sent)
    return list(comparison.of(old, new, str(old.get("title", "It"))))


class _Comparison:
    def __init__(self, old_definitions: Schema, new_definitions: Schema, sent: bool) -> None:
        self._old_definitions, self._new_definitions, self._sent = old_definitions, new_definitions, sent

    def of(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        if self._sent and "default" in old and "default" in new and old["default"] != new["default"]:
            yield f"{at} means {new['default']!r} when it is left out, and meant {old['default']!r}"
        before = list(_alternatives(old, self._old_definitions))
        now = list(_alternatives(new, self._new_definitions))
        for choice in before:
            # Of several of the type the choice that fits, or else comes closest.
            closest = [list(self._alternative(choice, other, at)) for other in now if self._same_type(choice, other)]
            gone = f"{at} no longer takes {_type(choice)}" if self._sent else f"{at} is never {_type(choice)} any more"
            yield from min(closest, key=len, default=[gone])
        if not self._sent:
            for other in now:
                if not any(self._same_type(choice, other) for choice in before):
                    yield f"{at} can be {_type(other)} now"

    def _same_type(self, old: Schema, new: Schema) -> bool:
        was, now = _type(old), _type(new)
        return was == now or (self._sent and (now == "anything" or (was, now) == ("integer", "number")))

    def _alternative(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        yield from self._values(old, new, at)
        yield from self._limits(old, new, at)
        yield from self._fields(old, new, at)
        for keyword, mark in _PARTS.items():
            if keyword in old or keyword in new:
                yield from self.of(_part(old, keyword), _part(new, keyword), f"{at}{mark}")
        for keyword in sorted({*old, *new} - _COMPARED - _SAYS_NOTHING):
            if old.get(keyword) != new.get(keyword) or "$ref" in str(new[keyword]):
                yield f"{at} has a {keyword}, which nothing here can compare"

    def _values(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        was, now = _enum(old), _enum(new)
        if was is None:
            if self._sent and now is not None:
                yield f"{at} takes only certain values now"
        elif now is None:
            if not self._sent:
                yield f"{at} can be any {_type(new)} now"
        else:
            for value in was:
                if value not in now:
                    yield f"{at} no longer takes {value!r}" if self._sent else f"{at} is never {value!r} any more"

    def _limits(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        """What is sent may be more than before, what is answered may not."""
        tight, wide = (new, old) if self._sent else (old, new)
        for keyword in sorted(_LIMITS & {*tight}):
            there = keyword in wide
            if there and keyword in _AT_LEAST:
                breaking = tight[keyword] > wide[keyword]
            elif there and keyword in _AT_MOST:
                breaking = tight[keyword] < wide[keyword]
            else:
                breaking = tight[keyword] != wide.get(keyword)
            if breaking:
                yield f"{at} has {keyword} {new.get(keyword, 'no more')}, and had {old.get(keyword, 'none')}"

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        was, now = old.get("properties", {}), new.get("properties", {})
        before, after = old.get("required", ()), new.get("required", ())
        for name, field in was.items():
            if name not in now:
                yield f"{at}.{name} is gone"
                continue
            yield from self.of(field, now[name], f"{at}.{name}")
            if self._sent and name in after and name not in before:
                yield f"{at}.{name} became required"
            if not self._sent and name in before and name not in after:
                yield f"{at}.{name} is no longer always there"
        if self._sent:
            for name in after:
                if name not in was:
                    yield f"{at}.{name} is new and required"


def _alternatives(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """Without references; what stands beside a reference or a choice belongs to each alternative."""
    here = {keyword: value for keyword, value in schema.items() if keyword not in {"$ref", "anyOf", "oneOf"}}
    if "$ref" in schema:
        yield from _alternatives({**definitions[schema["$ref"].removeprefix("#/$defs/")], **here}, definitions)
    elif choice := schema.get("anyOf", schema.get("oneOf")):
        for option in choice:
            yield from _alternatives({**here, **option}, definitions)
    else:
        yield schema


def _type(schema: Schema) -> str:
    return str(schema.get("type", "anything"))


def _enum(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _part(schema: Schema, keyword: str) -> Schema:
    """True and nothing said are anything; False is none of any values."""
    part = schema.get(keyword, True)
    return part if isinstance(part, Mapping) else {} if part else {"enum": []}
