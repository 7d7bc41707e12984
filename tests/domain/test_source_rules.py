"""Rules about the source: what is derived is never assigned, one place builds and reads keys, the domain has no clock, and
it is a step's row that says whose turn it is while the step waits."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from domain.step import Owner

ROOT = Path(__file__).resolve().parents[2]
DERIVED = {"past_pivot", "goods", "money", "paper"}
KEY_WORDS = {"key", "cancellation_id", "cancellation", "step", "target", "part"}
OTHER_IDS = {"notice_id"}
"""Made of parts too, and no keys of an effect."""
TEXT_METHODS = {"split", "rsplit", "partition", "rpartition", "startswith", "endswith", "removeprefix", "removesuffix"}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}


REGISTER = tuple(f"providers/books/{name}.py" for name in ("adapter", "cancellations", "reading", "writing"))
"""The ledger and the inbox have keys of their own, which are those of no effect."""


def sources(*places: str) -> list[Path]:
    """Of folders, and files; each has some."""
    found = []
    for place in places:
        of_place = [ROOT / place] if place.endswith(".py") else [*(ROOT / place).rglob("*.py")]
        assert all(path.is_file() for path in of_place)
        assert of_place, f"{place} is gone: a rule has lost its subject"
        found += of_place
    return sorted(found)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def place_of(path: Path, node: ast.AST) -> str:
    return f"{name_of(path)}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


def words_of(node: ast.AST) -> set[str]:
    """The names in an expression."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


# What is derived


def assigned_attributes(node: ast.AST) -> Iterable[ast.Attribute]:
    """Of `a.b = c`, `a.b += c`, `a.b: T = c`, `for a.b in c`, `with c as a.b`, in tuples too."""
    match node:
        case ast.Assign(targets=targets):
            roots: list[ast.expr] = targets
        case (
            ast.AugAssign(target=target)
            | ast.AnnAssign(target=target)
            | ast.For(target=target)
            | ast.NamedExpr(target=target)
        ):
            roots = [target]
        case ast.withitem(optional_vars=ast.expr() as target):
            roots = [target]
        case _:
            return ()
    inner = [n for root in roots for n in ast.walk(root)]
    return [n for n in inner if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]


def is_set_by_name(node: ast.AST) -> bool:
    """`setattr(x, "goods", …)`, `object.__setattr__(…)` or `model_copy(update={"goods": …})`."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func).rsplit(".", maxsplit=1)[-1] not in {
        "setattr",
        "__setattr__",
        "model_copy",
    }:
        return False
    return any(isinstance(n, ast.Constant) and n.value in DERIVED for n in ast.walk(node))


@pytest.mark.parametrize("path", sources("domain", "workflows", "activities"), ids=name_of)
def test_what_is_derived_is_assigned_nowhere(path: Path) -> None:
    found = [
        place_of(path, attribute)
        for node in nodes(path)
        for attribute in assigned_attributes(node)
        if attribute.attr in DERIVED
    ]
    found += [place_of(path, node) for node in nodes(path) if isinstance(node, ast.Call) and is_set_by_name(node)]
    assert not found, "goods, money, paper and past_pivot follow from the facts"


# Keys


def builds_a_key(node: ast.AST) -> bool:
    """A text of a key's words with `/`, or with a `.` after a key."""
    match node:
        case ast.JoinedStr(values=values):
            for value, after in zip(values, [*values[1:], None], strict=True):
                if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                    continue
                words = words_of(value.value)
                if str(after.value).startswith("/") and words & KEY_WORDS:
                    return True
                if str(after.value)[0] == "." and str(after.value)[1:2].isalpha() and "key" in words:
                    return True
            return False
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            texts = [n.value for side in (left, right) for n in ast.walk(side) if isinstance(n, ast.Constant)]
            return any(isinstance(text, str) and text[:1] in {"/", "."} for text in texts) and "key" in words_of(node)
        case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant(value="/"))):
            return True
        case _:
            return False


def reads_a_key(node: ast.AST) -> bool:
    """A text cut at `/`, or a key searched as a text."""
    match node:
        case ast.Call(func=ast.Attribute(attr=method, value=value), args=args) if method in TEXT_METHODS:
            cut_at = {arg.value for arg in args if isinstance(arg, ast.Constant)}
            return ("/" in cut_at and not words_of(value) & OTHER_IDS) or "key" in words_of(value)
        case ast.Compare(ops=ops, left=left, comparators=[right, *_]) if any(
            isinstance(op, ast.In | ast.NotIn) for op in ops
        ):
            return isinstance(left, ast.Constant) and isinstance(left.value, str) and "key" in words_of(right)
        case ast.Subscript(value=value, slice=ast.Slice()):
            return "key" in words_of(value)
        case _:
            return False


@pytest.mark.parametrize("path", sources("domain", "workflows", "activities", *REGISTER), ids=name_of)
def test_keys_are_built_and_read_in_one_place(path: Path) -> None:
    found = [
        place_of(path, node)
        for node in nodes(path)
        if isinstance(node, ast.expr) and (builds_a_key(node) or reads_a_key(node))
    ]
    if name_of(path) == "domain/keys.py":
        assert len(found) == 3, "one place builds, one reads from both ends"
    else:
        assert not found, "EffectKey builds and reads keys"


@pytest.mark.parametrize(
    "text",
    [
        'f"{cancellation_id}/{step}/{target}/{n}"',
        'f"{key}.void"',
        'str(key) + ".void"',
        '"/".join(parts)',
        'refund.key.split("/")',
        'str(key).startswith("can-1")',
        '"void" in refund.key',
        "str(key)[:10]",
    ],
)
def test_a_key_that_is_built_or_read_by_hand_would_be_found(text: str) -> None:
    expression = ast.parse(text, mode="eval").body
    assert any(builds_a_key(node) or reads_a_key(node) for node in ast.walk(expression))


def is_spelt_part(node: ast.AST) -> bool:
    """`key.part_of("void")`, instead of a name of domain/key_parts.py. Without a part: `key.part_of("")`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="part_of"), args=[ast.Constant(value=""), *_]):
            return False
        case ast.Call(func=ast.Attribute(attr="part_of"), args=[ast.Constant() | ast.JoinedStr(), *_]):
            return True
        case _:
            return False


@pytest.mark.parametrize("path", sources("domain", "workflows", "activities", *REGISTER), ids=name_of)
def test_the_parts_of_keys_are_named_in_one_place(path: Path) -> None:
    assert not [place_of(path, node) for node in nodes(path) if is_spelt_part(node)], "domain/key_parts.py names them"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('key.part_of("void")', True),
        ('key.part_of(f"cancel{n}")', True),
        ('key.part_of("")', False),
        ("key.part_of(key_parts.VOID)", False),
    ],
)
def test_a_part_that_is_spelt_at_its_call_would_be_found(text: str, found: bool) -> None:
    assert is_spelt_part(ast.parse(text, mode="eval").body) is found


# The clock


@pytest.mark.parametrize("path", sources("domain"), ids=name_of)
def test_the_domain_has_no_clock(path: Path) -> None:
    called = [n for n in nodes(path) if isinstance(n, ast.Call)]
    read = [n for n in called if isinstance(n.func, ast.Attribute) and n.func.attr in CLOCKS]
    imports = [n for n in nodes(path) if isinstance(n, ast.Import) and any(alias.name == "time" for alias in n.names)]
    imports_from = [n for n in nodes(path) if isinstance(n, ast.ImportFrom) and n.module == "time"]
    assert not [place_of(path, n) for n in (*read, *imports, *imports_from)], "what time it is, is given"


# Owners

MAY_NAME_OWNERS = {"workflows/steps.py", "workflows/approval.py"}
"""The rows; and the stages of an approval, which belongs to no step: whose turn it is depends on how long it has waited."""


def owners_named(path: Path) -> list[str]:
    """`Owner.CARRIER`, and an owner made of a text."""
    found = [n for n in nodes(path) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "Owner"]
    made = [
        n
        for n in nodes(path)
        if isinstance(n, ast.Call | ast.Subscript) and ast.unparse(n).startswith(("Owner(", "Owner["))
    ]
    return [place_of(path, n) for n in (*found, *made)]


@pytest.mark.parametrize("path", sources("workflows"), ids=name_of)
def test_whose_turn_it_is_stands_in_a_steps_row(path: Path) -> None:
    """Nobody invents an owner where a step is run or waited for."""
    named = set(owners_named(path))
    compared = [n for n in nodes(path) if isinstance(n, ast.Compare) and isinstance(n.ops[0], ast.Is | ast.IsNot)]
    asked = {place_of(path, n) for compare in compared for n in compare.comparators}
    assert not named - asked or name_of(path) in MAY_NAME_OWNERS


@pytest.mark.parametrize("path", sources("workflows"), ids=name_of)
def test_a_wait_has_an_owner_and_no_call_brings_one_along(path: Path) -> None:
    for call in (n for n in nodes(path) if isinstance(n, ast.Call)):
        names = {keyword.arg for keyword in call.keywords}
        if ast.unparse(call.func) == "Wait":
            assert "owner" in names, f"{place_of(path, call)} has no owner"
        else:
            assert "owner" not in names, f"{place_of(path, call)}: the row says whose turn it is"


def test_the_stages_of_an_approval_wait_for_a_second_person_and_then_for_who_is_above() -> None:
    named = {text.rsplit(".", maxsplit=1)[-1] for text in owners_named(ROOT / "workflows/approval.py")}
    assert named == {Owner.SECOND_PERSON.name, Owner.SUPERVISOR.name}


FOLDERS = ("activities", "client", "domain", "providers", "runtime", "sandbox", "web", "workflows")

RETIRED = frozenset(
    {
        *("Ask", "Complaint", "Entrance", "Filled", "House", "Refusal", "Remark", "TakeBack", "Teller", "WrongLine"),
        *("amiss", "carried_to_its_end", "carry_out", "complaint", "dead", "each", "elsewhere", "go_on_from", "hands"),
        *("leave", "mend", "note", "stop_what_came_loose", "tell", "told", "told_to", "turn_if_wanted", "turn_round"),
        *(
            "about",
            "afterwards",
            "ask",
            "asked_for",
            "become",
            "look",
            "once",
            "place",
            "say",
            "stay",
            "turning",
            "until",
        ),
    }
)
"""Names that say nothing where they are used, or one thing here and another there."""


def test_no_retired_name_has_come_back() -> None:
    """Of functions, methods and classes; `until` stays a parameter's name."""
    found = []
    for file in sources(*FOLDERS):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and node.name.strip("_") in RETIRED
            ):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not found


def named_one(node: ast.AST) -> bool:
    """A loop, a comprehension or a parameter whose variable is `one`."""
    match node:
        case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
            return any(isinstance(n, ast.Name) and n.id == "one" for n in ast.walk(target))
        case ast.Lambda(args=args) | ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
            return any(arg.arg == "one" for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs))
        case _:
            return False


@pytest.mark.parametrize("path", sources(*FOLDERS, "benchmarks"), ids=name_of)
def test_a_variable_has_the_name_of_what_it_holds(path: Path) -> None:
    assert not [place_of(path, node) for node in nodes(path) if named_one(node)], "name the noun"


@pytest.mark.parametrize("path", sources("tests"), ids=name_of)
def test_a_loop_of_a_test_has_the_name_of_what_it_goes_through(path: Path) -> None:
    """Of the two cancellations of a test, one is `one` and the other is `other`."""
    loops = (ast.For, ast.AsyncFor, ast.comprehension, ast.Lambda)
    assert not [place_of(path, node) for node in nodes(path) if isinstance(node, loops) and named_one(node)], (
        "name the noun"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("for one in orders: pass", True),
        ("[one.id for _, one in orders]", True),
        ("sorted(orders, key=lambda one: one.id)", True),
        ("def close(one): pass", True),
        ("for order in orders: pass", False),
    ],
)
def test_a_variable_that_is_called_one_would_be_found(text: str, found: bool) -> None:
    assert any(named_one(node) for node in ast.walk(ast.parse(text))) is found
