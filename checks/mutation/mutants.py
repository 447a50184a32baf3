"""Rewrites Cython source so that one build has every mutant in it, each chosen by a number at run time.

Works on logical lines and their tokens. A condition, a returned or an assigned value becomes
``(mutated) if isotp_is(7) else (original)``; an assignment or a call becomes ``if not isotp_is(8): ...``. Type
casts, declarations and what is not in the named functions stay as they are.

A number that is all that a function returns is no decision: 0 where there was no exception. Of other returned
numbers only 0 or not 0 is looked at, so they are mutated to that. And whether ``if a < b: a = b`` does so for equal
ones is no decision either.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
}
SWAPPED = {
    "and": "or",
    "or": "and",
    "+": "-",
    "-": "+",
    "min": "max",
    "max": "min",
    "True": "False",
    "False": "True",
}
# What may stand before a binary operator
OPERAND_ENDS = (tokenize.NAME, tokenize.NUMBER)
KEYWORDS = ("if", "elif", "while", "return", "and", "or", "not", "in", "is", "else", "for")


@dataclass(frozen=True)
class Mutant:
    """One change; `line` is that of the original file."""

    number: int
    file: str
    line: int
    function: str
    original: str
    mutated: str
    occurrence: int  # of this change in this function

    @property
    def key(self) -> str:
        """Names the mutant whatever its number and line are."""
        which = f" ({self.occurrence})" if self.occurrence > 1 else ""
        return f"{self.function}: {self.original} -> {self.mutated}{which}"


@dataclass(frozen=True)
class Token:
    kind: int
    text: str


@dataclass
class Line:
    """A logical line: what it starts with, and the physical lines that it takes."""

    first: int
    last: int
    indent: str
    tokens: list[Token]
    comment_free: str


def logical_lines(source: str) -> Iterator[Line]:
    tokens: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            continue
        if token.type == tokenize.NEWLINE:
            if tokens:
                start, end = tokens[0].start, tokens[-1].end
                indent = " " * start[1]
                kept = [Token(t.type, t.string) for t in tokens]
                yield Line(start[0], end[0], indent, kept, joined(kept))
            tokens = []
        elif token.type != tokenize.ENDMARKER:
            tokens.append(token)


def joined(tokens: list[Token]) -> str:
    """Source text of tokens, on one line."""
    text = ""
    before = None
    for token in tokens:
        tight = (
            before is None
            or before.text in ("(", "[", ".")
            or token.text in (")", "]", ",", ".", ":")
            or (token.text in ("(", "[") and is_operand_end(before))
        )
        text += token.text if tight else " " + token.text
        before = token
    return text


def is_operand_end(token: Token) -> bool:
    if token.kind == tokenize.NAME:
        return token.text not in KEYWORDS
    return token.kind == tokenize.NUMBER or token.text in (")", "]")


def casts(tokens: list[Token]) -> set[int]:
    """Indices of the angle brackets of type casts."""
    found = set()
    for index, token in enumerate(tokens):
        if token.text == "<" and (index == 0 or not is_operand_end(tokens[index - 1])):
            end = next(k for k in range(index, len(tokens)) if tokens[k].text == ">")
            found |= set(range(index, end + 1))
    return found


def mutations(tokens: list[Token]) -> Iterator[list[Token]]:
    """The expression with one thing changed, in all the ways there are."""
    in_casts = casts(tokens)
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        if index in in_casts:
            continue
        replacements: list[str] = []
        if token.text in COMPARISONS:
            replacements += COMPARISONS[token.text]
        elif token.text in ("+", "-") and (before is None or not is_operand_end(before)):
            continue
        elif token.text in SWAPPED:
            replacements.append(SWAPPED[token.text])
        elif token.text == "&" and before is not None and is_operand_end(before):
            replacements.append("|")
        elif token.text == "not" and (before is None or before.text != "is"):
            replacements.append("")
        elif token.kind == tokenize.NUMBER:
            replacements.append(f"({token.text} + 1)")
        for text in replacements:
            changed = Token(token.kind, text)
            yield [*tokens[:index], *([changed] if text else []), *tokens[index + 1 :]]


ASSIGNMENT = ("=", "+=", "-=", "|=")


def rewrite(
    source: str, file: str, functions: Callable[[str], bool], first_number: int
) -> tuple[str, list[Mutant]]:
    """The source with mutants in the functions that are chosen by name, and what they are."""
    lines = source.split("\n")
    logical = list(logical_lines(source))
    returned = returned_by_function(logical)
    found: list[Mutant] = []
    function = ""
    function_indent = 0
    constants = False
    for line, next_line in zip(logical, [*logical[1:], None], strict=True):
        name = name_of_block(line)
        if name is not None:
            function = name
            function_indent = len(line.indent)
            constants = not name
            continue
        if constants or not function or len(line.indent) <= function_indent or not functions(function):
            continue
        if line.comment_free.startswith("return") and returned[function] == {line.comment_free}:
            continue
        equal = next_line is not None and assigns_what_is_compared(line, next_line)
        new = mutated_line(line, file, function, first_number + len(found), found, equal)
        if new is not None:
            lines[line.first - 1 : line.last] = new + [""] * (line.last - line.first + 1 - len(new))
    return "\n".join(lines), found


def name_of_block(line: Line) -> str | None:
    """Of the function that the line opens; empty for another block of definitions, None for any other line."""
    text = line.comment_free
    if not (text.endswith(":") and text.startswith(("cdef", "cpdef", "def", "class"))):
        return None
    head = re.match(r"(?:cdef|cpdef|def)\b.*?(\w+)\(", text)
    return head[1] if head else ""


def returned_by_function(lines: list[Line]) -> dict[str, set[str]]:
    """The statements by which a function returns a number; others count as one that is none of them."""
    returned: dict[str, set[str]] = {}
    function = ""
    for line in lines:
        name = name_of_block(line)
        if name is not None:
            function = name
        elif line.tokens[0].text == "return":
            number = line.comment_free if is_number(line.tokens[1:]) else ""
            returned.setdefault(function, set()).add(number)
    return returned


def is_number(tokens: list[Token]) -> bool:
    return bool(tokens) and re.fullmatch(r"-? ?\d+", joined(tokens)) is not None


def assigns_what_is_compared(line: Line, next_line: Line) -> bool:
    compared = re.fullmatch(r"(?:if|elif) (.+) (?:<|<=|>|>=) (.+):", line.comment_free)
    return compared is not None and next_line.comment_free == f"{compared[1]} = {compared[2]}"


def mutated_line(
    line: Line, file: str, function: str, number: int, found: list[Mutant], equal_is_alike: bool
) -> list[str] | None:
    tokens, text = line.tokens, line.comment_free
    first = tokens[0].text
    if any(tokenize.tok_name[token.kind].startswith("FSTRING") or token.text[:2] == 'f"' for token in tokens):
        return None  # the sentence of an error

    def note(mutated: str) -> int:
        again = sum(m.function == function and m.original == text and m.mutated == mutated for m in found)
        new = Mutant(number + added(), file, line.first, function, text, mutated, again + 1)
        found.append(new)
        return found[-1].number

    start = len(found)

    def added() -> int:
        return len(found) - start

    def chosen(expression: list[Token], wrap: Callable[[str], str]) -> str:
        original = joined(expression)
        choice = ""
        if first == "return" and is_number(expression):
            variants = ["1" if original == "0" else "0"]
        else:
            variants = [joined(mutated) for mutated in mutations(expression)]
        if equal_is_alike:
            variants = [v for v in variants if v.replace("=", "") != original.replace("=", "")]
        for changed in variants:
            choice += f"({changed}) if isotp_is({note(wrap(changed))}) else "
        return f"{choice}({original})" if choice else original

    if first in ("if", "elif", "while") and tokens[-1].text == ":":
        condition = chosen(tokens[1:-1], lambda changed: f"{first} {changed}:")
        return [f"{line.indent}{first} {condition}:"]
    if first == "return" and len(tokens) > 1:
        return [f"{line.indent}return {chosen(tokens[1:], lambda changed: f'return {changed}')}"]
    if first in (
        "cdef",
        "cpdef",
        "return",
        "break",
        "continue",
        "pass",
        "else",
        "with",
        "try",
        "except",
        "finally",
        "for",
    ):
        return None
    if tokens[0].kind == tokenize.STRING or first in ("raise", "del", "import", "from"):
        return None
    equals = next(
        (k for k, token in enumerate(tokens) if token.text in ASSIGNMENT and depth(tokens[:k]) == 0), None
    )
    if equals is not None:
        target, operator = joined(tokens[:equals]), tokens[equals].text
        value = chosen(tokens[equals + 1 :], lambda changed: f"{target} {operator} {changed}")
        statement = f"{target} {operator} {value}"
    elif tokens[-1].text == ")":
        statement = text
    else:
        return None
    if equals is not None and re.fullmatch(r"\w+", joined(tokens[:equals])):
        # Without its value a local variable would be anything.
        return [f"{line.indent}{statement}"]
    removed = note("(left out)")
    return [f"{line.indent}if not isotp_is({removed}): {statement}"]


def depth(tokens: list[Token]) -> int:
    texts = [token.text for token in tokens]
    return sum(texts.count(opening) - texts.count(closing) for opening, closing in ("()", "[]"))
