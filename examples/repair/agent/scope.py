"""What a name or an attribute could be mistaken for: names in scope, members of classes, types."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from confusions import family, likeness

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Classes:
    """The members of every class of the repository: what an attribute could be mistaken for."""

    def __init__(self, trees: Iterable[ast.Module]) -> None:
        """Gather the members, with their kind and annotated type."""
        self.members: list[dict[str, tuple[str, str | None]]] = []
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self.members.append(dict(_members(node)))

    def siblings(self, name: str) -> dict[str, float]:
        """Return what could stand in the place of an attribute, with how likely."""
        found: dict[str, float] = {}
        for members in self.members:
            if name in members:
                kind, annotation = members[name]
                for other, (other_kind, other_annotation) in members.items():
                    if other != name and other_kind == kind and not other.startswith("__"):
                        found[other] = likeness(annotation, other_annotation)
        return {**found, **family(name)}


def _members(node: ast.ClassDef) -> Iterator[tuple[str, tuple[str, str | None]]]:
    for part in node.body:
        if isinstance(part, FUNCTIONS):
            marks = {ast.unparse(mark).split(".")[-1] for mark in part.decorator_list}
            is_value = bool(marks & {"property", "cached_property"})
            yield part.name, ("value" if is_value else "method", annotated(part.returns))
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id, ("value", annotated(part.annotation))
    for inner in ast.walk(node):
        if (
            isinstance(inner, ast.Attribute)
            and isinstance(inner.ctx, ast.Store)
            and isinstance(inner.value, ast.Name)
            and inner.value.id == "self"
        ):
            yield inner.attr, ("value", None)


def annotated(annotation: ast.expr | None) -> str | None:
    """Return an annotation as text, without quotes."""
    return None if annotation is None else ast.unparse(annotation).strip("'\"")


class Scope:
    """The names that a function sees, with what is known of their types."""

    def __init__(self, function: ast.AST | None, outer: Scope | None) -> None:
        """Gather the parameters and the assigned names of a function."""
        self.outer = outer
        self.types: dict[str, str | None] = {}
        self.returns: str | None = None
        if function is None:
            return
        assert isinstance(function, (*FUNCTIONS, ast.Lambda))
        given = function.args
        for one in [*given.posonlyargs, *given.args, *given.kwonlyargs]:
            if one.arg not in ("self", "cls"):
                self.types[one.arg] = annotated(one.annotation)
        if isinstance(function, ast.Lambda):
            return
        self.returns = annotated(function.returns)
        for node in own_nodes(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.types.setdefault(node.id, None)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.types[node.target.id] = annotated(node.annotation)
        for node in own_nodes(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                self.types[name] = self.types.get(name) or self.type_of(node.value)

    def visible(self) -> dict[str, str | None]:
        """Return all names in sight with their types; inner ones hide outer ones."""
        return {**(self.outer.visible() if self.outer else {}), **self.types}

    def type_of(self, value: ast.expr) -> str | None:
        """Guess the type of a value where that is easy."""
        if isinstance(value, ast.Constant) and value.value is not None:
            return type(value.value).__name__
        if isinstance(value, ast.Name):
            return self.visible().get(value.id)
        if isinstance(value, ast.UnaryOp):
            return "bool" if isinstance(value.op, ast.Not) else self.type_of(value.operand)
        if isinstance(value, ast.IfExp):
            return self.type_of(value.body)
        if isinstance(value, ast.Compare):
            return "bool"
        if isinstance(value, (ast.ListComp, ast.List)):
            return "list"
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            name = value.func.id
            return "int" if name == "len" else name if name[:1].isupper() else None
        return None


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Walk a function without going into the functions and classes inside it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def bound_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a module's statement binds."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield (alias.asname or alias.name).split(".")[0]
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def is_assignment(statement: ast.stmt) -> bool:
    """Return whether a statement gives a value to names."""
    return isinstance(statement, (ast.Assign, ast.AnnAssign))


def is_docstring(statement: ast.stmt) -> bool:
    """Return whether a statement is only a constant."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
