"""Mutants of a module: each is the module's source with one small change inside a function."""

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

_OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One mutant. `source` is the whole file; `gate`: a call that stops candidates was deleted."""

    file: str
    line: int
    change: str
    source: str
    gate: bool = False


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a file, in the order of its lines."""
    count = len(list(_sites(ast.parse(source))))
    for n in range(count):
        tree = deepcopy(ast.parse(source))
        parent, field, index, node = list(_sites(tree))[n]
        for new in _changes(node):
            _put(parent, field, index, new)
            change = f"{_first_line(node)}  ->  {_first_line(new)}"
            yield Mutant(
                file,
                node.lineno,
                change,
                ast.unparse(tree),
                isinstance(new, ast.Pass) and "stop(" in _first_line(node),
            )
            _put(parent, field, index, node)


def _first_line(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0][:100]


def _sites(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield statements and expressions in function bodies, without annotations, defaults, decorators and docstrings."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            begins = 1 if ast.get_docstring(function) is not None else 0
            for i, statement in enumerate(function.body[begins:], begins):
                yield from _within(function, "body", i, statement)


def _within(
    parent: ast.AST, field: str, index: int | None, node: ast.AST
) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    if isinstance(node, ast.FunctionDef | ast.JoinedStr):
        return
    if next(_changes(node), None) is not None:
        yield parent, field, index, node
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return  # an argument of zip that no correct program can notice
    for name, value in ast.iter_fields(node):
        if name != "annotation":
            parts = enumerate(value) if isinstance(value, list) else ((None, value),)
            for i, part in parts:
                if isinstance(part, ast.AST):
                    yield from _within(node, name, i, part)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _OPPOSITES:
            yield ast.Compare(node.left, [_OPPOSITES[type(op)]()], node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(_OPPOSITES[type(node.op)](), node.values)
        case ast.BinOp() if type(node.op) in _OPPOSITES:
            yield ast.BinOp(node.left, _OPPOSITES[type(node.op)](), node.right)
        case ast.UnaryOp(op=ast.Not() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield ast.Pass()
        case ast.If():
            yield ast.If(ast.Constant(True), node.body, node.orelse)
            yield ast.If(ast.Constant(False), node.body, node.orelse)
        case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
            yield ast.Return(ast.Constant(None))


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node
