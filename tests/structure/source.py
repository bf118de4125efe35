"""The product's source as data: modules, their imports, functions and classes; read with `ast`, nothing is imported."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGES = ("decisioning", "features", "training", "serving")
_MIGRATIONS = "migrations"
"""Alembic names these files and reads them by itself; they are no part of the import graph."""
_LIBRARY = frozenset({"Table"})
"""Classes of libraries whose constructors take a list as positional arguments."""


@dataclass(frozen=True)
class Function:
    """A function: where it stands, its length in lines, and its parameters without `self` and `cls`."""

    place: str
    lines: int
    parameters: int


@dataclass(frozen=True)
class Module:
    """One Python file of the product."""

    file: Path
    name: str
    tree: ast.Module

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        nodes = (n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        return tuple(self._function(node) for node in nodes)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(n.name for n in ast.walk(self.tree) if isinstance(n, ast.ClassDef))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name that the module gives or uses: variables, parameters, attributes, functions and classes."""
        return tuple(name for node in ast.walk(self.tree) for name in _names_in(node))

    @cached_property
    def wide_calls(self) -> tuple[str, ...]:
        """Places that pass more than seven positional arguments to a class of the product (a name in capitals)."""
        return tuple(f"{self.file}:{n.lineno} {ast.unparse(n.func)}" for n in ast.walk(self.tree) if _is_wide(n))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
        of = node.args
        named = [a.arg for a in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
        bound = named[:1] in (["self"], ["cls"])
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        return Function(f"{self.file}:{node.lineno} {node.name}", lines, len(named) - bound)


@dataclass(frozen=True)
class Source:
    """All modules of the product below `root`."""

    root: Path
    modules: dict[str, Module]

    @classmethod
    def read(cls, root: Path) -> "Source":
        """Read the four packages and the root modules of the command line."""
        modules = {m.name: m for file in _files(root) for m in [_module(root, file)]}
        return cls(root, modules)

    def folders(self) -> dict[str, list[str]]:
        """Return folder -> the Python files in it, `__init__.py` included."""
        files: dict[str, list[str]] = {}
        for module in self.modules.values():
            if module.file.parent.parts:
                files.setdefault(module.file.parent.as_posix(), []).append(module.file.name)
        return files

    @cached_property
    def imports(self) -> tuple[tuple[str, str], ...]:
        """Pairs of (module, module that it imports), both of the product."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[tuple[str, str]]:
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    for alias in node.names:
                        full = f"{node.module}.{alias.name}"
                        target = full if full in self.modules else node.module
                        if target in self.modules and target != module.name:
                            yield module.name, target


def _files(root: Path) -> Iterator[Path]:
    yield from sorted(root.glob("brain*.py"))
    for package in PACKAGES:
        yield from (f for f in sorted((root / package).rglob("*.py")) if _MIGRATIONS not in f.parts)


def _module(root: Path, file: Path) -> Module:
    relative = file.relative_to(root)
    parts = relative.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(relative, name, ast.parse(file.read_text("utf-8")))


def _is_wide(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or len(node.args) <= 7 or any(isinstance(a, ast.Starred) for a in node.args):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.lstrip("_")[:1].isupper() and not name.startswith("LGBM_") and name not in _LIBRARY


def _names_in(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.arg | ast.keyword):
        return (node.arg,) if node.arg else ()
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    return (node.name,) if isinstance(node, ast.FunctionDef | ast.ClassDef) else ()
