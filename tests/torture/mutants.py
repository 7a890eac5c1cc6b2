"""Small changes of the program, one at a time, in the process that asks for them."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

__all__ = ["Mutant", "mutants"]

WRONG = 1 + 1e-4
"""The factor of what is scaled."""

LINEAR = ("product", "pull", "sigmoid", "difference", "reads", "blocks", "_arranged", "finite")
"""Functions of the house whose result is an array, and is scaled."""

MOVES = ("concatenate", "stack", "repeat", "broadcast_to", "moveaxis", "astype")
"""Functions that only move numbers: their result is scaled, too."""

EDGES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
"""Comparisons, and those that differ where both sides are equal."""


@dataclass(frozen=True)
class Mutant:
    """One node of a module's syntax tree replaced.

    Parameters
    ----------
    module, function : str
        Where; the function's own qualified name.
    line, column, end : int
        Of the node; `end` is its last column.
    change : str
        What becomes of it: ``scaled``, ``left`` or ``right`` operand or branch alone, ``sign``,
        ``dropped``; of logic: ``negated``, ``edge`` (< for ≤), ``either`` (and for or), ``more``,
        ``less`` (by one), ``deleted``, ``nothing`` (is returned).
    """

    module: str
    function: str
    line: int
    column: int
    end: int
    change: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}:{self.column} {self.function} {self.change}"

    def apply(self) -> None:
        """Change the function, wherever it is held: it gets another code."""
        module = import_module(self.module)
        tree = _Replacing(self).visit(ast.parse(inspect.getsource(module)))
        whole = compile(ast.fix_missing_locations(tree), inspect.getfile(module), "exec")
        function = _function(module, self.function)
        function.__code__ = next(
            code for code in _codes(whole) if code.co_qualname == function.__code__.co_qualname
        )


def mutants(module: str, *, logic: bool = False) -> Iterator[Mutant]:
    """Yield every change of the arithmetic in a module's functions, or of the logic as well.

    Without the logic, what hands numbers on is changed as well: subscripts and branches.
    """
    found = import_module(module)
    body = ast.parse(inspect.getsource(found)).body
    done = {name for statement in body for name in _calls_at_import(statement)}
    for name, tree in _functions(body):
        if name in done:
            continue
        try:
            function = _function(found, name)
        except (AttributeError, KeyError, TypeError):
            continue
        if function.__code__.co_qualname != name:
            continue
        for node in (node for statement in tree.body for node in ast.walk(statement)):
            for change in _changes(node) + (() if logic else _handing_on(node)):
                yield Mutant(module, name, *_place(node), change)
        for node in (node for statement in tree.body for node in _judging(statement) if logic):
            for change in _logic(node):
                yield Mutant(module, name, *_place(node), change)


def _changes(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            return ("scaled", "left", "right", "sign")
        case ast.BinOp(op=ast.Mult() | ast.Div()):
            return ("scaled", "left")
        case ast.BinOp(op=ast.MatMult()):
            return ("scaled",)
        case ast.AugAssign(op=ast.Add() | ast.Sub() | ast.Mult()):
            return ("scaled", "dropped")
        case ast.Constant(value=float()) if node.value:
            return ("scaled",)
        case ast.Call(func=ast.Name(id=name)) if name in LINEAR:
            return ("scaled",)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="np")))):
            return ("dropped",)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            return ("dropped",)
    return ()


def _handing_on(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) if name in MOVES:
            return ("scaled",)
        case ast.Subscript(ctx=ast.Load(), slice=ast.Name() | ast.Constant(value=str())):
            return ("scaled",)
        case ast.IfExp():
            return ("left", "right")
    return ()


def _calls_at_import(node: ast.AST) -> Iterator[str]:
    """Name the functions that reading a module calls: to change them comes too late."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield node.func.id
    inside = getattr(node, "body", []) if isinstance(node, ast.FunctionDef | ast.Lambda) else []
    for child in ast.iter_child_nodes(node):
        if child not in (inside if isinstance(inside, list) else [inside]):
            yield from _calls_at_import(child)


def _judging(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over what decides: neither words nor what is asserted, nor ``strict`` of a ``zip``."""
    yield node
    if not isinstance(node, ast.Assert | ast.Raise | ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.keyword) and child.arg == "strict"):
                yield from _judging(child)


def _logic(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Compare(ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()]):
            return ("negated", "edge")
        case ast.Compare(ops=[_]) | ast.UnaryOp(op=ast.Not()) | ast.Constant(value=bool()):
            return ("negated",)
        case ast.BoolOp():
            return ("either",)
        case ast.Constant(value=int()):
            return ("more", "less")
        case ast.Return(value=ast.expr() as value):
            return () if isinstance(value, ast.Constant) and value.value is None else ("nothing",)
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            return ("deleted",)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return ("deleted",)
    return ()


def _known(node: ast.AST) -> tuple[str, ...]:
    return _changes(node) + _handing_on(node) + _logic(node)


class _Replacing(ast.NodeTransformer):
    """Replaces the node of a mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def visit(self, node: ast.AST) -> Any:
        kind = self.mutant.change
        if _place(node) == self.mutant_place and kind in _known(node):
            return _changed(node, kind)
        return self.generic_visit(node)

    @property
    def mutant_place(self) -> tuple[int, int, int]:
        return self.mutant.line, self.mutant.column, self.mutant.end


def _changed(node: ast.AST, change: str) -> ast.AST:
    factor = ast.Constant(WRONG)
    match node, change:
        case ast.BinOp(), "scaled":
            return ast.BinOp(node, ast.Mult(), factor)
        case ast.IfExp(), "left":
            return node.body
        case ast.IfExp(), "right":
            return node.orelse
        case ast.BinOp(), "left":
            return node.left
        case ast.BinOp(), "right":
            return node.right
        case ast.BinOp(), "sign":
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            return ast.BinOp(node.left, other, node.right)
        case ast.AugAssign(), "scaled":
            value = ast.BinOp(node.value, ast.Mult(), factor)
            return ast.AugAssign(copy.deepcopy(node.target), node.op, value)
        case ast.AugAssign(), "dropped":
            return ast.Pass()
        case ((ast.Constant() | ast.Call() | ast.Subscript()), "scaled"):
            return ast.BinOp(node, ast.Mult(), factor)
        case ast.Expr(), "dropped":
            return ast.Pass()
        case ast.UnaryOp(), "dropped":
            return node.operand
        case ast.Compare(), "negated":
            return ast.UnaryOp(ast.Not(), node)
        case ast.Compare(), "edge":
            return ast.Compare(node.left, [EDGES[type(node.ops[0])]()], node.comparators)
        case ast.UnaryOp(), "negated":
            return node.operand
        case ast.BoolOp(), "either":
            return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.Constant(value=bool(value)), "negated":
            return ast.Constant(not value)
        case ast.Constant(value=int(value)), "more" | "less":
            return ast.Constant(value + (1 if change == "more" else -1))
        case ast.Return(), "nothing":
            return ast.Return(ast.Constant(None))
        case ast.stmt(), "deleted":
            return ast.Pass()
    raise AssertionError(change)


def _place(node: ast.AST) -> tuple[int, int, int]:
    return tuple(getattr(node, name, -1) for name in ("lineno", "col_offset", "end_col_offset"))


def _functions(body: list[ast.stmt], start: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield start + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{start}{node.name}.")


def _function(module: Any, qualified: str) -> FunctionType:
    """Return the function behind a name, out of what it is wrapped in."""
    *owners, name = qualified.split(".")
    holder = functools.reduce(getattr, owners, module)
    found = vars(holder)[name]
    found = getattr(found, "fget", None) or getattr(found, "func", None) or found
    found = getattr(found, "__func__", found)
    function = inspect.unwrap(found)
    assert isinstance(function, FunctionType)
    return function


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
