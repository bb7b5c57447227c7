"""What `make mutants` changes in the code: mutmut's own operators but those of texts, and what people do.

mutmut changes operators, arguments and values. These are added: a statement left out, a condition that holds
always or never, a filter of a comprehension left out, an operand of `and`, `or` and `|` left out, an entry of
a tuple, list, set or dict left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
from mutmut.mutation import file_mutation, mutators

if TYPE_CHECKING:
    from collections.abc import Iterator

_MESSAGES = {"Problem", "Event", "Advice", "Command", "ProblemError", "InputError", "tell"}
"""Calls whose arguments are what people read."""

_REPORTING = {"progress", "say", "queue"}
"""Calls that report progress."""

_TEXTS = (cst.SimpleString, cst.FormattedString, cst.ConcatenatedString)


def _argument_removal(node: cst.Call) -> list[cst.CSTNode]:
    if any(isinstance(argument.value, _TEXTS) for argument in node.args):
        return []
    return list(mutators.operator_arg_removal(node))


def _left_out(node: cst.Expr | cst.AugAssign | cst.Raise) -> Iterator[cst.CSTNode]:
    value = node.value if isinstance(node, cst.Expr) else None
    if isinstance(value, (*_TEXTS, cst.Yield)):
        return
    if isinstance(value, cst.Call):
        called = value.func.attr if isinstance(value.func, cst.Attribute) else value.func
        if isinstance(called, cst.Name) and called.value in _REPORTING:
            return
    yield cst.Pass()


def _condition(node: cst.If) -> Iterator[cst.CSTNode]:
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    for operator, value in ((cst.And(), "False"), (cst.Or(), "True")):
        yield node.with_changes(test=cst.BooleanOperation(test, operator, cst.Name(value)))


def _filters(node: cst.CompFor) -> Iterator[cst.CSTNode]:
    for number in range(len(node.ifs)):
        yield node.with_changes(ifs=[*node.ifs[:number], *node.ifs[number + 1 :]])


def _operands(node: cst.BooleanOperation | cst.BinaryOperation) -> Iterator[cst.CSTNode]:
    if isinstance(node.operator, (cst.And, cst.Or, cst.BitOr)):
        yield node.left
        yield node.right


def _entries(node: cst.Tuple | cst.List | cst.Set | cst.Dict) -> Iterator[cst.CSTNode]:
    if len(node.elements) < 2 or (isinstance(node, cst.Tuple) and not node.lpar):  # noqa: PLR2004 - none is a simpler mutant
        return
    if all(isinstance(entry.value, _TEXTS) for entry in node.elements):
        return
    for number in range(len(node.elements)):
        yield node.with_changes(elements=[*node.elements[:number], *node.elements[number + 1 :]])


_ADDED = [
    (cst.Expr, _left_out),
    (cst.AugAssign, _left_out),
    (cst.Raise, _left_out),
    (cst.If, _condition),
    (cst.CompFor, _filters),
    (cst.BooleanOperation, _operands),
    (cst.BinaryOperation, _operands),
    (cst.Tuple, _entries),
    (cst.List, _entries),
    (cst.Set, _entries),
    (cst.Dict, _entries),
]


def adapt() -> None:
    """Gives mutmut these operators."""
    kept = [
        (kind, _argument_removal if operator is mutators.operator_arg_removal else operator)
        for kind, operator in mutators.mutation_operators
        if operator is not mutators.operator_string
    ]
    file_mutation.mutation_operators = [*kept, *_ADDED]
    file_mutation.NEVER_MUTATE_FUNCTION_CALLS |= _MESSAGES
