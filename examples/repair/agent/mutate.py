"""Small typed changes of a program's text, each with how likely it is to be the mend.

A file is parsed once; every change is an edit of the source bytes at the position of a node, so
that a patch changes nothing else. "Typed" means that a value is replaced only by what it could be:
a number by a number, a name by a name in scope that is not known to have another type, an attribute
by a sibling of the same kind in the classes that have it.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from confusions import ARITHMETIC, COMMON_INTEGERS, COMPARISONS, EMPTY, family, likeness
from scope import FUNCTIONS, Classes, Scope, bound_names, is_assignment, is_docstring

if TYPE_CHECKING:
    from typing import TypeGuard  # new in Python 3.10, and the box may have 3.9

OPERATOR = re.compile(
    rb"not\s+in\b|is\s+not\b|in\b|is\b|<=|>=|==|!=|<<|>>|\*\*|//|and\b|or\b|[<>+\-*/%@&|^]"
)


@dataclass(frozen=True)
class Mutation:
    """Replace the bytes from start (included) to stop (excluded) of a file.

    Attributes:
        line: where it is, for people.
        lines: the lines whose running shows that it matters.
        warm: whether it only changes the inside of functions.
    """

    path: str
    start: int
    stop: int
    new: bytes
    kind: str
    prior: float
    line: int
    lines: tuple[int, ...]
    warm: bool
    note: str
    names: tuple[str, ...] = ()

    def apply(self, source: bytes) -> bytes:
        """Return the changed source."""
        return source[: self.start] + self.new + source[self.stop :]


class Mutator:
    """Yields the mutations of one file."""

    def __init__(self, path: str, source: bytes, tree: ast.Module, classes: Classes) -> None:
        """Take a file, parsed."""
        self.path = path
        self.source = source
        self.tree = tree
        self.classes = classes
        starts = [0]
        for line in source.split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        self.starts = starts
        self.integers: set[int] = set()
        self.strings: set[str] = set()
        for node in ast.walk(tree):
            value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            if type(value) is int:
                self.integers.add(value)
            elif isinstance(value, str) and len(value) < 20:
                self.strings.add(value)
        self.globals = {name for part in tree.body for name in bound_names(part)}
        self.module_values = {
            name for part in tree.body if is_assignment(part) for name in bound_names(part)
        }

    # Positions.

    def begin(self, node: ast.AST) -> int:
        """Return the offset of the first byte of a node."""
        place = cast("ast.expr", node)
        return self.starts[place.lineno - 1] + place.col_offset

    def end(self, node: ast.AST) -> int:
        """Return the offset after the last byte of a node."""
        place = cast("ast.expr", node)
        assert place.end_lineno is not None
        assert place.end_col_offset is not None
        return self.starts[place.end_lineno - 1] + place.end_col_offset

    def text(self, node: ast.AST) -> str:
        """Return the source text of a node."""
        return self.source[self.begin(node) : self.end(node)].decode()

    # The walk.

    def mutations(self) -> Iterator[Mutation]:
        """Yield all mutations of the file."""
        for statement in self.tree.body:
            yield from self._statement(statement, Scope(None, None), None, False)

    def _statement(
        self, node: ast.stmt, scope: Scope, function: ast.AST | None, looping: bool
    ) -> Iterator[Mutation]:
        if isinstance(node, FUNCTIONS):
            yield from self._function(node, scope, function)
            return
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                yield from self._statement(part, scope, function, False)
            return
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Pass)):
            return
        where = Place(self, node, scope, function)
        yield from where.whole_statement(looping)
        loops = looping or isinstance(node, (ast.For, ast.AsyncFor, ast.While))
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt):
                    yield from self._statement(child, scope, function, loops)
                elif isinstance(child, ast.ExceptHandler):
                    for part in child.body:
                        yield from self._statement(part, scope, function, loops)
                elif isinstance(child, ast.withitem):
                    yield from where.expression(child.context_expr, node)
                elif isinstance(child, ast.expr) and not _is_silent(node, name):
                    yield from where.expression(child, node)

    def _function(
        self, node: ast.AST, scope: Scope, function: ast.AST | None
    ) -> Iterator[Mutation]:
        assert isinstance(node, FUNCTIONS)
        inside = Scope(node, scope)
        header = Place(self, node, scope, function, body=node)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                yield from header.expression(default, node)
        for statement in node.body:
            yield from self._statement(statement, inside, node, False)


class Place:
    """Makes the mutations at one statement: knows its scope and what runs when it matters."""

    def __init__(
        self,
        file: Mutator,
        statement: ast.stmt,
        scope: Scope,
        function: ast.AST | None,
        body: ast.AST | None = None,
    ) -> None:
        """Take the statement, the function it is in, and for a default the function it is of."""
        self.file = file
        self.statement = statement
        self.scope = scope
        self.function = function
        self.header = body
        self.names: tuple[str, ...] = ()
        if function is None and body is None:
            self.names = tuple(bound_names(statement))

    def make(
        self, node: ast.AST, start: int, stop: int, new: str, kind: str, prior: float
    ) -> Mutation:
        """Build a mutation of this statement that stands for a change of the node."""
        file = self.file
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        lines = (*range(first, last + 1), self.statement.lineno)
        if self.header is not None:
            lines = tuple(range(self.header.lineno, self.header.end_lineno + 1))  # type: ignore[attr-defined]
        old = file.source[start:stop].decode()
        note = f"{kind}: {shown(old)} -> {shown(new)}" if old else f"{kind}: {shown(new)}"
        warm = self.function is not None and self.header is None
        data = new.encode()
        return Mutation(
            file.path, start, stop, data, kind, prior, first, lines, warm, note, self.names
        )

    def replace(self, node: ast.AST, new: str, kind: str, prior: float) -> Mutation:
        """Replace the whole text of a node."""
        return self.make(node, self.file.begin(node), self.file.end(node), new, kind, prior)

    # Statements.

    def whole_statement(self, looping: bool) -> Iterator[Mutation]:
        """Yield what can be done to the statement as a whole."""
        node = self.statement
        if isinstance(node, ast.AugAssign):
            yield from self._operator(node, node.target, node.value, ARITHMETIC, "operator")
        if isinstance(node, (ast.If, ast.While)):
            yield from self._negate(node.test, 0.7)
        if isinstance(node, ast.Break):
            yield self.replace(node, "continue", "statement", 0.4)
        if isinstance(node, ast.Continue):
            yield self.replace(node, "break", "statement", 0.4)
        if isinstance(node, ast.Return) and node.value is not None:
            yield from self._negate(node.value, 0.35)
            if isinstance(node.value, ast.BinOp):
                yield self.replace(node.value, f"-({self.file.text(node.value)})", "sign", 0.15)
        if self.function is not None:
            yield from self._guards(looping)

    def _guards(self, looping: bool) -> Iterator[Mutation]:
        """Yield early exits before the statement: ``if not x: return 0``."""
        node = self.statement
        if not isinstance(node, (ast.Return, ast.Assign, ast.AugAssign, ast.Expr, ast.For)):
            return
        if is_docstring(node):
            return
        file = self.file
        line_start = file.starts[node.lineno - 1]
        indent = file.source[line_start : file.begin(node)].decode()
        if indent.strip():
            return
        returns = self.scope.returns or ""
        exits = [f"return {EMPTY[returns.split('[')[0]]}"] if returns.split("[")[0] in EMPTY else []
        if not returns or "None" in returns or "Optional" in returns:
            exits.append("return None" if returns != "None" else "return")
        exits += ["continue"] * looping
        nodes = list(ast.walk(node.iter if isinstance(node, ast.For) else node))
        called = {id(one.func) for one in nodes if isinstance(one, ast.Call)}
        divisors = {ast.unparse(one.right) for one in nodes if _is_division(one)}
        subjects = dict.fromkeys(
            ast.unparse(one) for one in nodes if _is_read(one) and id(one) not in called
        )
        subjects.pop("self", None)
        newline = "\r\n" if file.source[file.starts[node.lineno] - 2 :][:1] == b"\r" else "\n"
        for subject in subjects:
            if subject.split(".")[0] in file.globals or hasattr(builtins, subject):
                continue
            for way in exits:
                likely = 0.2 if subject in divisors else 0.12
                for test, prior in ((f"not {subject}", likely), (f"{subject} is None", 0.06)):
                    new = f"{indent}if {test}:{newline}{indent}    {way}{newline}"
                    yield self.make(node, line_start, line_start, new, "guard", prior)

    # Expressions.

    def expression(self, node: ast.expr, parent: ast.AST) -> Iterator[Mutation]:
        """Yield the mutations of an expression and of all inside it."""
        if isinstance(node, ast.JoinedStr):
            return  # positions inside are not reliable before Python 3.12
        yield from self._one(node, parent)
        if isinstance(node, ast.Lambda):
            inside = Place(self.file, self.statement, Scope(node, self.scope), self.function)
            inside.header, inside.names = self.header, self.names
            yield from inside._negate(node.body, 0.5)
            yield from inside.expression(node.body, node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from self.expression(child, node)
            elif isinstance(child, ast.keyword):
                yield from self.expression(child.value, child)
            elif isinstance(child, ast.comprehension):
                yield from self.expression(child.iter, child)
                for test in child.ifs:
                    yield from self._negate(test, 0.6)
                    yield from self.expression(test, child)

    def _one(self, node: ast.expr, parent: ast.AST) -> Iterator[Mutation]:
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for index in range(len(node.ops)):
                left, right = operands[index], operands[index + 1]
                yield from self._operator(node, left, right, COMPARISONS, "comparison")
        elif isinstance(node, ast.BinOp):
            yield from self._operator(node, node.left, node.right, ARITHMETIC, "operator")
            for kept in (node.left, node.right):
                prior = 0.5 if _is_one(node.left) or _is_one(node.right) else 0.12
                yield self.replace(node, self.part(node, kept), "drop operand", prior)
        elif isinstance(node, ast.BoolOp):
            yield from self._bool(node)
        elif isinstance(node, ast.UnaryOp):
            if isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
                prior = 0.8 if isinstance(node.op, ast.Not) else 0.5
                yield self.replace(node, self.part(node, node.operand), "drop sign", prior)
        elif isinstance(node, ast.IfExp):
            text = self.file.text
            new = f"{text(node.orelse)} if {text(node.test)} else {text(node.body)}"
            yield self.replace(node, new, "swap branches", 0.4)
            for kept in (node.body, node.orelse):
                yield self.replace(node, self.part(node, kept), "one branch", 0.1)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.Subscript):
            yield from self._subscript(node)
        elif isinstance(node, ast.Constant):
            yield from self._constant(node, parent)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield from self._name(node, parent)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield from self._attribute(node)
        elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
            yield from self._swaps(node.elts, 0.3)
        yield from self._off_by_one(node, parent)

    def part(self, node: ast.expr, kept: ast.expr) -> str:
        """Return the text of an operand that takes the place of the whole.

        It binds at least as closely as the whole did, unless it stood in parentheses.
        """
        begin, end = self.file.begin, self.file.end
        at_edge = begin(kept) == begin(node) or end(kept) == end(node)
        return self.file.text(kept) if at_edge else self.grouped(kept)

    def grouped(self, node: ast.expr) -> str:
        """Return the text of a node, in parentheses where it needs them to stand anywhere."""
        text = self.file.text(node)
        simple = (ast.Name, ast.Attribute, ast.Call, ast.Constant, ast.Subscript, ast.List)
        return text if isinstance(node, simple) else f"({text})"

    def _operator(
        self,
        node: ast.AST,
        left: ast.AST,
        right: ast.AST,
        table: dict[str, dict[str, float]],
        kind: str,
    ) -> Iterator[Mutation]:
        start, stop = self.file.end(left), self.file.begin(right)
        found = OPERATOR.search(self.file.source, start, stop)
        if found is None:
            return
        old = b" ".join(found.group().split()).decode()
        for new, prior in table.get(old, {}).items():
            yield self.make(node, found.start(), found.end(), new, kind, prior)

    def _bool(self, node: ast.BoolOp) -> Iterator[Mutation]:
        table = {"and": {"or": 0.9}, "or": {"and": 0.9}}
        for index, value in enumerate(node.values):
            yield from self._negate(value, 0.5)
            if index + 1 < len(node.values):
                following = node.values[index + 1]
                yield from self._operator(node, value, following, table, "boolean")
        if len(node.values) == 2:
            for kept in node.values:
                yield self.replace(node, self.part(node, kept), "drop condition", 0.4)

    def _negate(self, node: ast.expr, prior: float) -> Iterator[Mutation]:
        """Yield the negation, unless another mutation says the same more plainly."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return
        if isinstance(node, (ast.Constant, ast.Lambda, ast.JoinedStr, ast.Tuple, ast.Yield)):
            return
        yield self.replace(node, f"not {self.grouped(node)}", "not", prior)

    def _call(self, node: ast.Call) -> Iterator[Mutation]:
        yield from self._swaps(node.args, 0.7)
        yield from self._swaps([keyword.value for keyword in node.keywords], 0.4)
        if isinstance(node.func, ast.Attribute) and len(node.args) == 1:
            base, text = node.func.value, self.file.text
            swapped = f"{self.grouped(node.args[0])}.{node.func.attr}({text(base)})"
            yield self.replace(node, swapped, "swap", 0.15)
        if len(node.args) == 1 and not node.keywords and isinstance(node.func, ast.Name):
            yield self.replace(node, self.grouped(node.args[0]), "drop call", 0.2)
        if isinstance(node.func, ast.Name) and node.func.id == "sorted" and len(node.args) == 1:
            end = self.file.end(node) - 1
            if not any(keyword.arg == "reverse" for keyword in node.keywords):
                yield self.make(node, end, end, ", reverse=True", "reverse", 0.2)

    def _swaps(self, nodes: Sequence[ast.expr], prior: float) -> Iterator[Mutation]:
        """Yield every exchange of two of the nodes; neighbours are the likelier."""
        file = self.file
        for one in range(len(nodes)):
            for other in range(one + 1, len(nodes)):
                first, second = nodes[one], nodes[other]
                if isinstance(first, ast.Starred) or isinstance(second, ast.Starred):
                    continue
                a, b = file.text(first), file.text(second)
                if a == b or (isinstance(first, ast.Constant) != isinstance(second, ast.Constant)):
                    continue
                between = file.source[file.end(first) : file.begin(second)].decode()
                start, stop = file.begin(first), file.end(second)
                likely = prior if other == one + 1 else prior / 2
                yield self.make(first, start, stop, b + between + a, "swap", likely)

    def _subscript(self, node: ast.Subscript) -> Iterator[Mutation]:
        part = node.slice
        if not isinstance(part, ast.Slice):
            return
        colon_text = self.file.text(part)
        if part.lower is None and part.upper is not None and part.step is None:
            yield self.replace(part, f"{self.file.text(part.upper)}:", "slice", 0.4)
            yield self.replace(part, f"-{self.grouped(part.upper)}:", "slice", 0.2)
        elif part.upper is None and part.lower is not None and part.step is None:
            yield self.replace(part, f":{self.file.text(part.lower)}", "slice", 0.4)
        for bound in (part.lower, part.upper):
            if bound is not None:
                yield self.make(
                    bound, self.file.begin(bound), self.file.end(bound), "", "slice", 0.3
                )
        if part.lower is None:
            start = self.file.begin(part)
            yield self.make(part, start, start, "1", "slice", 0.4)
        if part.upper is None and part.step is None and colon_text.endswith(":"):
            stop = self.file.end(part)
            yield self.make(part, stop, stop, "-1", "slice", 0.4)

    def _constant(self, node: ast.Constant, parent: ast.AST) -> Iterator[Mutation]:
        value = node.value
        if isinstance(value, bool):
            yield self.replace(node, str(not value), "constant", 0.9)
        elif isinstance(value, int):
            priors = dict.fromkeys(COMMON_INTEGERS, 0.08)
            priors.update(dict.fromkeys(sorted(self.file.integers), 0.15))
            priors.update({2: 0.2, -value: 0.2, value * 2: 0.3, value // 2: 0.3, 0: 0.4, 1: 0.4})
            priors.update({value + 1: 0.8, value - 1: 0.8})
            for new, prior in priors.items():
                if new != value and not _is_idle(new, parent):
                    yield self.replace(node, str(new), "constant", prior)
        elif isinstance(value, float):
            near_floats = {value * 10: 0.2, value / 10: 0.2, value * 100: 0.2, value / 100: 0.2}
            for changed, prior in {**near_floats, 0.0: 0.2, 1.0: 0.3}.items():
                if changed != value:
                    yield self.replace(node, repr(changed), "constant", prior)
        elif isinstance(value, str):
            for other in sorted(self.file.strings - {value}):
                yield self.replace(node, repr_like(other), "constant", 0.1)

    def _name(self, node: ast.Name, parent: ast.AST) -> Iterator[Mutation]:
        others: dict[str, float] = {}
        if isinstance(parent, ast.Call) and parent.func is node:
            others = {
                name: 0.15
                for name in self.file.globals
                if name != node.id and name[:1].isupper() == node.id[:1].isupper()
            }
        else:
            visible = self.scope.visible()
            if node.id in visible:
                mine = visible.pop(node.id)
                others = {name: likeness(mine, other) for name, other in visible.items()}
            elif node.id in self.file.module_values:
                others = dict.fromkeys(self.file.module_values - {node.id}, 0.3)
        for name, prior in family(node.id).items():
            if name in self.file.globals or hasattr(builtins, name):
                others[name] = prior
        for name in sorted(others):
            yield self.replace(node, name, "name", others[name])

    def _attribute(self, node: ast.Attribute) -> Iterator[Mutation]:
        stop = self.file.end(node)
        start = stop - len(node.attr.encode())
        siblings = self.file.classes.siblings(node.attr)
        for name in sorted(siblings):
            yield self.make(node, start, stop, name, "attribute", siblings[name])

    def _off_by_one(self, node: ast.expr, parent: ast.AST) -> Iterator[Mutation]:
        if not isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.BinOp, ast.Subscript)):
            return
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return
        if self.scope.type_of(node) in ("str", "bool", "list", "bytes"):
            return
        if _is_step(node):
            return  # changing the constant says it better
        exact = isinstance(parent, (ast.Slice, ast.Subscript)) or (
            isinstance(parent, ast.Call)
            and isinstance(parent.func, ast.Name)
            and parent.func.id == "range"
        )
        if isinstance(parent, (ast.Attribute, ast.Starred, ast.Expr, ast.For)):
            return
        if isinstance(parent, (ast.Call, ast.Subscript)) and node is _head(parent):
            return
        text = self.file.text(node)
        prior = 0.6 if exact else 0.3 if isinstance(parent, (ast.Compare, ast.BinOp)) else 0.2
        wrap = isinstance(parent, (ast.BinOp, ast.UnaryOp))
        for step in ("- 1", "+ 1"):
            new = f"({text} {step})" if wrap else f"{text} {step}"
            yield self.replace(node, new, "off by one", prior)


def _is_silent(statement: ast.stmt, field: str) -> bool:
    """Return whether a part of a statement does nothing when the program runs."""
    return field in ("annotation", "target") or is_docstring(statement)


def _head(node: ast.AST) -> ast.AST:
    return node.func if isinstance(node, ast.Call) else node.value  # type: ignore[attr-defined]


def _is_division(node: ast.AST) -> TypeGuard[ast.BinOp]:
    return isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Div, ast.FloorDiv, ast.Mod))


def _is_read(node: ast.AST) -> TypeGuard[ast.expr]:
    """Return whether a node reads a name, or an attribute of attributes of a name."""
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return False
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _is_step(node: ast.expr) -> bool:
    """Return whether a node adds or subtracts a constant."""
    is_sum = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub))
    return is_sum and isinstance(cast("ast.BinOp", node).right, ast.Constant)


def _is_idle(number: int, parent: ast.AST) -> bool:
    """Return whether an operation with a number changes nothing: dropping it says so better."""
    if not isinstance(parent, ast.BinOp):
        return False
    if isinstance(parent.op, (ast.Add, ast.Sub)):
        return number == 0
    return isinstance(parent.op, (ast.Mult, ast.Div, ast.FloorDiv)) and number == 1


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (1, -1)


def repr_like(text: str) -> str:
    """Return a string literal in double quotes where that is possible."""
    return '"' + text + '"' if text.isprintable() and not set('"\\') & set(text) else repr(text)


def shown(text: str) -> str:
    """Return a piece of source on one line, cut to 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
