"""Checks `where` of an expectation: only conditions over the columns of its table are allowed.

    condition   comparison | condition and condition | condition or condition | not condition | (condition)
    comparison  value == != < <= > >= value (may be chained), value in [constants], value not in [constants]
    value       a column, text in quotes, a number, True, False; for numbers also + - * /

pandas evaluates the checked condition. On its own, pandas would accept far more: `@name` reaches every variable of the
program, and so every function; attributes and calls run code. None of that is allowed.
"""

import ast
import io
import tokenize
from collections.abc import Iterable
from difflib import get_close_matches

from graft.data.manifest import column_types
from graft.modalities.image.modality import ImageModality

MAX_LENGTH = 2_000
AS_WORDS = {"&": "and", "|": "or"}
"""Operators that pandas treats as these words, with their precedence."""
LINE_BREAKS = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
TEXT_COLUMNS = {
    *(name for name, kind in column_types(ImageModality()).items() if kind == "string"),
    "path_ignoring_case",
    "quantity",
    "details",
}
"""Columns of text, with which no arithmetic is allowed: text times a number would repeat it."""
SYNTAX = (
    "a condition compares columns with values (==, !=, <, <=, >, >=, in, not in), joined by and, or, not; text is "
    'quoted, as in domain == "roof" and width > 300'
)


class ConditionError(ValueError):
    """Mistake in a condition; its message can follow `where: `."""


def checked_condition(text: str, columns: Iterable[str]) -> str:
    """The condition, regenerated from its parsed form, which pandas receives in place of `text`.

    Raises:
        ConditionError: `text` is not a condition over `columns`.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"{len(text):,} characters; a condition has at most {MAX_LENGTH:,}")
    try:
        tree = ast.parse(_in_words(text).strip(), mode="eval")
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        raise ConditionError(f"{text!r} cannot be understood; {SYNTAX}") from None
    _check_condition(tree.body, list(columns))
    return ast.unparse(tree)


def _in_words(text: str) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return tokenize.untokenize(
        (tokenize.NAME, AS_WORDS[token.string]) if token.type == tokenize.OP and token.string in AS_WORDS else token[:2]
        for token in tokens
        if token.type not in LINE_BREAKS
    )


def _check_condition(node: ast.expr, columns: list[str]) -> None:
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                _check_condition(part, columns)
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            _check_condition(operand, columns)
        case ast.Compare(left=left, ops=operators, comparators=others):
            if not all(isinstance(operator, COMPARISONS) for operator in operators):
                raise _refused(node)
            _check_value(left, columns)
            for operator, value in zip(operators, others, strict=True):
                if isinstance(operator, ast.In | ast.NotIn):
                    _check_list(value)
                else:
                    _check_value(value, columns)
        case ast.Name(id=name) if name in columns:
            raise ConditionError(f"{name} alone is not a condition; compare it with a value, as in {name} == 1")
        case _:
            raise _refused(node)


def _check_value(node: ast.expr, columns: list[str]) -> None:
    match node:
        case ast.Constant(value=str() | int() | float()):
            pass
        case ast.Name(id=name):
            if name not in columns:
                close = get_close_matches(name, columns, n=1)
                hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(columns)}"
                raise ConditionError(f"there is no column {name}{hint}. Text is written in quotes.")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check_number(operand, columns)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, ARITHMETIC):
            _check_number(left, columns)
            _check_number(right, columns)
        case _:
            raise _refused(node)


def _check_list(node: ast.expr) -> None:
    elements = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    if not isinstance(node, ast.List | ast.Tuple) or any(isinstance(element, ast.Name) for element in elements):
        raise ConditionError(
            f'`in` needs a list of constants, as in domain in ["roof", "yard"], not {ast.unparse(node)}'
        )
    for element in elements:
        _check_value(element, [])


def _check_number(node: ast.expr, columns: list[str]) -> None:
    _check_value(node, columns)
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    if is_text or (isinstance(node, ast.Name) and node.id in TEXT_COLUMNS):
        raise ConditionError(f"{ast.unparse(node)} is not a number; arithmetic needs numbers")


def _refused(node: ast.expr) -> ConditionError:
    return ConditionError(f"{ast.unparse(node)!r} is not allowed; {SYNTAX}")
