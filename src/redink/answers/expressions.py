"""Read tokens as one expression: a small precedence parser, bounded in depth and size; nothing is evaluated.

A `Node` is an operator with operands; leaves are exact numbers and names. What a school formula needs is here; sums
have their bound variable as first operand. Integrals, limits and the like raise `Unsupported`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from redink.answers.latex import Token, TooLarge, Undecided, Unreadable, Unsupported

MOST_NODES = 600
MOST_DEEP = 60
LARGEST_POWER_OF_TEN = 400


class Node(NamedTuple):
    """An expression: `op` is num, name, const, add, mul, div, neg, pow, fn, index, sum, prod, pm, fact, degree, …."""

    op: str
    args: tuple[Node, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)


FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "log", "ln", "lg", "exp", "abs", "floor", "ceil", "gcd", "lcm", "max", "min",
})  # fmt: skip
CALLED = frozenset("fghFGH")
"""Letters that a bracket after them makes a function call; `P(1+r)` is a product."""
_REPEATED = re.compile(r"(\d*?)(?:(\d)\2\2+|(\d{2,9}?)\3+)")
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
_LEFT_OUT = frozenset({"int", "iint", "oint", "lim", "det", "begin", "end", "matrix", "partial", "forall", "exists"})


def number(text: str) -> Fraction:
    """The exact value of a number token; the exponent of ten is bounded."""
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > LARGEST_POWER_OF_TEN:
        raise TooLarge(f"an exponent of ten beyond {LARGEST_POWER_OF_TEN}")
    return Fraction(mantissa.rstrip(".")) * Fraction(10) ** int(exponent or 0)


def num(value: Fraction | int) -> Node:
    """A number leaf."""
    return Node("num", value=Fraction(value))


def parse(tokens: list[Token]) -> Node:
    """The expression that all the tokens spell; raises `Unreadable`, `Unsupported` or `TooLarge`."""
    reader = _Reader(tokens)
    node = reader.stacked()
    if reader.at < len(tokens):
        left = tokens[reader.at]
        kind = Unsupported if left.kind == "cmd" and left.text in _LEFT_OUT else Unreadable
        raise kind(f"unexpected {left.text!r}")
    return node


def names_in(node: Node) -> frozenset[str]:
    """The free names of an expression (variables; not functions, not the bound variable of a sum)."""
    if node.op == "name":
        return frozenset({node.name})
    inner = frozenset[str]().union(*map(names_in, node.args))
    return inner - {node.name} if node.op in {"sum", "prod"} else inner


class _Reader:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at, self.deep, self.nodes = list(tokens), 0, 0, 0
        self.bars = 0

    def peek(self, ahead: int = 0) -> Token | None:
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else None

    def is_op(self, *texts: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token is not None and token.kind == "op" and token.text in texts

    def is_cmd(self, *texts: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token is not None and token.kind == "cmd" and token.text in texts

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("ends too early")
        self.at += 1
        return token

    def expect(self, text: str) -> None:
        if not self.is_op(text):
            raise Unreadable(f"{text!r} is missing")
        self.at += 1

    def made(self, node: Node) -> Node:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise TooLarge(f"more than {MOST_NODES} parts")
        return node

    def stacked(self) -> Node:
        r"""A sum, or one over another: `1 \over 2`, `n \choose k`."""
        node = self.sum()
        if not self.is_cmd("over", "choose"):
            return node
        below = self.take().text == "over"
        other = self.sum()
        return self.made(Node("div", (node, other)) if below else Node("fn", (node, other), "binom"))

    def sum(self) -> Node:
        self.deep += 1
        if self.deep > MOST_DEEP:
            raise TooLarge(f"nested more than {MOST_DEEP} deep")
        left = self._leading()
        while self.is_op("+", "-") or self.is_cmd("pm", "mp"):
            sign = self.take().text
            left = self.made(_added(left, sign, self._leading()))
        self.deep -= 1
        return left

    def _leading(self) -> Node:
        """A term with its signs."""
        if self.is_op("+"):
            self.at += 1
            return self._leading_again()
        if self.is_op("-"):
            self.at += 1
            return self.made(Node("neg", (self._leading_again(),)))
        if self.is_cmd("pm", "mp"):
            sign = self.take().text
            return self.made(Node("pm", (self._leading_again(),), sign))
        return self.term()

    def _leading_again(self) -> Node:
        self.deep += 1
        if self.deep > MOST_DEEP:
            raise TooLarge(f"nested more than {MOST_DEEP} deep")
        node = self._leading()
        self.deep -= 1
        return node

    def term(self) -> Node:
        slashed = self._mixed_with_slash()
        left = slashed if slashed is not None else self._power_or_mixed()
        while True:
            if self.is_op("*") or self.is_cmd("cdot", "times"):
                left = self.made(_multiplied(left, self.take().text, self._factor()))
            elif self.is_op("/") or self.is_cmd("div"):
                self.at += 1
                left = self.made(Node("div", (left, self._divisor())))
            elif self.starts():
                if self._is_number() and self.tokens[self.at - 1].kind == "num":
                    raise Unreadable("two numbers side by side")
                left = self.made(Node("mul", (left, self._power_or_mixed())))
            else:
                return left

    def _divisor(self) -> Node:
        r"""What stands below a slash; AB/CD is a ratio of lengths.

        `E/kT` may divide by k or by kT, `1/2\frac{1}{3}` by 2 or by 2 1/3.
        """
        token, start = self.peek(), self.at
        if token is not None and token.kind == "word" and len(token.text) == 2 and token.text.isupper():
            self.at += 1
            return self.made(Node("mul", tuple(Node("name", name=letter) for letter in token.text)))
        node = self._factor()
        if node.op == "num" and self.at - start > 2 and self.tokens[start].kind == "num":
            raise Undecided("a mixed number after a division")
        if names_in(node) and self.tokens[self.at - 1].text != ")" and self.starts():
            raise Undecided("a product after a division")
        return node

    def _factor(self) -> Node:
        """What may stand after an operator: a power, also with a sign of its own."""
        if self.is_op("-", "+"):
            sign = self.take().text
            self.deep += 1
            if self.deep > MOST_DEEP:
                raise TooLarge(f"nested more than {MOST_DEEP} deep")
            inner = self._factor()
            self.deep -= 1
            return self.made(Node("neg", (inner,))) if sign == "-" else inner
        return self._power_or_mixed()

    def _is_number(self) -> bool:
        token = self.peek()
        return token is not None and token.kind == "num"

    def _mixed_with_slash(self) -> Node | None:
        """`1 1/2`: a whole number, then a proper fraction of whole numbers."""
        texts = [token.text for token in self.tokens[self.at : self.at + 4]]
        if len(texts) < 4 or texts[2] != "/" or not all(text.isdigit() for text in (texts[0], texts[1], texts[3])):
            return None
        if not 0 < int(texts[1]) < int(texts[3]) or self.is_op("^", "_", "!", ahead=4):
            return None
        self.at += 4
        return self.made(num(int(texts[0]) + Fraction(int(texts[1]), int(texts[3]))))

    def _power_or_mixed(self) -> Node:
        r"""A power, or the mixed number `1\frac{1}{2}`: a whole number directly before a proper fraction of such.

        Before an improper fraction, or one that is raised, it may be meant as a mixed number or as a product.
        """
        whole = self._is_whole_group()
        node = self.power()
        if not whole or node.op != "num" or not (self.is_cmd("frac") or self._is_braced_fraction()):
            return node
        fraction = self.power()
        top, bottom = _parts(fraction)
        if top is None or bottom is None:
            return self.made(Node("mul", (node, fraction)))
        if fraction.op != "div" or not 0 <= top < bottom:
            raise Undecided("a whole number before an improper fraction")
        return self.made(num(node.value + top / bottom))

    def _is_whole_group(self) -> bool:
        """Whether a whole number stands next, bare or in braces (which do not show)."""
        ahead = 0
        while self.is_op("{", ahead=ahead):
            ahead += 1
        token = self.peek(ahead)
        return token is not None and token.kind == "num" and token.text.isdigit()

    def _is_braced_fraction(self) -> bool:
        ahead = 0
        while self.is_op("{", ahead=ahead):
            ahead += 1
        return ahead > 0 and self.is_cmd("frac", ahead=ahead)

    def starts(self) -> bool:
        """Whether the next token can begin a factor."""
        token = self.peek()
        if token is None or token.kind == "text":
            return token is not None and len(token.text) == 1
        if token.kind in {"num", "sym", "word"}:
            return True
        if token.kind == "op":
            return token.text in {"(", "[", "{"} or (token.text == "|" and self.bars == 0)
        return token.text in FUNCTIONS | {
            "frac", "sqrt", "pi", "infty", "binom", "lfloor", "lceil", "overline", "bar", "hat", "tilde", "dot", "ddot",
            "sum", "prod", "circ", "operatorname", "ell",
        }  # fmt: skip

    def power(self) -> Node:
        base = self.primary()
        while True:
            if self.is_op("^"):
                self.at += 1
                base = self._raised(base)
            elif self.is_op("!"):
                double = self.is_op("!", ahead=1)
                self.at += 1 + double
                base = self.made(Node("fn", (base,), "double factorial") if double else Node("fact", (base,)))
            elif self.is_op("%"):
                self.at += 1
                base = self.made(Node("div", (base, num(100))))
            elif self.is_cmd("circ"):
                self.at += 1
                base = self.made(Node("degree", (base,)))
            else:
                return base

    def _raised(self, base: Node) -> Node:
        if self.is_cmd("circ") or (self.is_op("{") and self.is_cmd("circ", ahead=1) and self.is_op("}", ahead=2)):
            self.at += 1 if self.is_cmd("circ") else 3
            return self.made(Node("degree", (base,)))
        if self.is_op("'"):
            raise Unsupported("a derivative")
        return self.made(Node("pow", (base, self.argument(whole_number=True))))

    def argument(self, whole_number: bool = False) -> Node:
        r"""What a command applies to: a group, or one token (`\frac12` takes a digit each)."""
        if self.is_op("{", "("):
            return self.group()
        if self.is_op("-", "+") and whole_number:
            sign = self.take().text
            inner = self.argument(whole_number)
            return self.made(Node("neg", (inner,))) if sign == "-" else inner
        token = self.peek()
        if token is not None and token.kind == "num" and len(token.text) > 1 and not whole_number:
            self.tokens[self.at] = Token("num", token.text[1:], True)
            if not token.text[0].isdigit():
                raise Unreadable("a number is missing")
            return self.made(num(int(token.text[0])))
        return self.primary()

    def group(self) -> Node:
        opening = self.take().text
        bars, self.bars = self.bars, 0
        node = self.stacked()
        self.bars = bars
        self.expect(_CLOSING[opening])
        return node

    def primary(self) -> Node:
        self.deep += 1
        if self.deep > 2 * MOST_DEEP:
            raise TooLarge(f"nested more than {MOST_DEEP} deep")
        node = self.made(self._primary())
        self.deep -= 1
        return node

    def _primary(self) -> Node:
        if self.is_op("(", "[", "{"):
            return self.group()
        if self.is_op("|"):
            return self._absolute()
        token = self.take()
        reader = {"num": self._number, "word": self._word, "cmd": self._command, "sym": self._name}.get(token.kind)
        if reader is None and token.kind == "text" and len(token.text) == 1 and token.text.isalpha():
            reader = self._name
        if reader is None:
            raise Unreadable(f"unexpected {token.text!r}")
        return reader(token.text)

    def _absolute(self) -> Node:
        self.at += 1
        self.bars += 1
        node = self.sum()
        self.expect("|")
        self.bars -= 1
        return Node("fn", (node,), "abs")

    def _number(self, text: str) -> Node:
        if self.is_op("_"):
            raise Unreadable("a base inside an expression")
        if "." in text:
            return self._decimal(text)
        return num(number(text))

    def _decimal(self, text: str) -> Node:
        r"""A decimal, also one that repeats: `0.\overline{3}`, `0.\dot{3}`, `0.(3)`, `0.333...`."""
        if self.is_cmd("overline", "bar"):
            self.at += 1
            return num(_repeating(text, self._digits()))
        if self.is_cmd("dot"):
            return num(_repeating(text, self._dotted()))
        if self.is_op("(") and self._is_bracketed_number():
            if not text.endswith("."):
                raise Undecided("digits in brackets after a decimal")
            self.at += 3
            return num(_repeating(text, self.tokens[self.at - 2].text))
        if self.is_cmd("ldots"):
            self.at += 1
            return num(_going_on(text))
        return num(number(text))

    def _is_bracketed_number(self) -> bool:
        inner, opening = self.peek(1), self.peek()
        return inner is not None and opening is not None and opening.glued and inner.text.isdigit() and (
            self.is_op(")", ahead=2)
        )  # fmt: skip

    def _dotted(self) -> str:
        r"""The digits from the first dot to the last, as in `\dot{1}4285\dot{7}`."""
        self.at += 1
        digits = self._digits()
        if self._is_number() and self.is_cmd("dot", ahead=1):
            digits += self.take().text
        if self.is_cmd("dot"):
            self.at += 1
            digits += self._digits()
        if not digits.isdigit():
            raise Unreadable("digits are missing")
        return digits

    def _digits(self) -> str:
        braced = self.is_op("{")
        self.at += braced
        token = self.take()
        if braced:
            self.expect("}")
        if token.kind != "num" or not token.text.isdigit():
            raise Unreadable("digits are missing")
        return token.text

    def _word(self, text: str) -> Node:
        """Two or three letters are multiplied, a longer word is one name."""
        if len(text) > 3:
            return Node("name", name=text.lower())
        self.tokens[self.at : self.at] = [Token("sym", letter, True) for letter in text[1:]]
        return self._name(text[0])

    def _name(self, letter: str) -> Node:
        name = letter
        while self.is_op("'"):
            self.at += 1
            name += "'"
        if self.is_op("_"):
            self.at += 1
            return self._indexed(name)
        if name in {"nabla", "partial"}:
            raise Undecided("an operator")
        if name in {"e", "i"}:
            return Node("const", name=name)
        if self.is_op("(") and (name[0] in CALLED or self._is_at_a_point()):
            return self._call(name)
        return Node("name", name=name)

    def _is_at_a_point(self) -> bool:
        """I(0), x(t): a letter, then one number or letter in brackets, is a value and no product."""
        signed = self.is_op("-", "+", ahead=1)
        inner = self.peek(1 + signed)
        return inner is not None and inner.kind in {"num", "sym"} and self.is_op(")", ahead=2 + signed)

    def _indexed(self, name: str) -> Node:
        token = self.peek()
        braced = self.is_op("{")
        inner = self.peek(1) if braced else token
        if inner is not None and inner.kind in {"text", "word"}:
            if not braced and inner.kind == "word" and self.is_op("_", ahead=1):  # F_kF_n
                self.tokens[self.at : self.at + 1] = [Token("sym", letter, True) for letter in inner.text]
                return Node("index", (self._name_only(self.take().text),), name)
            self.at += 3 if braced else 1
            return Node("name", name=f"{name}_{inner.text}")
        if inner is not None and inner.kind == "cmd" and inner.text not in {"frac", "sqrt", "pi"}:
            self.at += 3 if braced else 1
            return Node("name", name=f"{name}_{inner.text}")
        return Node("index", (self.argument(),), name)

    def _name_only(self, letter: str) -> Node:
        return Node("const", name=letter) if letter in {"e", "i"} else Node("name", name=letter)

    def _call(self, name: str) -> Node:
        self.at += 1
        arguments = [self.sum()]
        while self.is_op(","):
            self.at += 1
            arguments.append(self.sum())
        self.expect(")")
        return Node("call", tuple(arguments), name)

    def _command(self, name: str) -> Node:
        if name in FUNCTIONS:
            return self._function(name)
        reader = getattr(self, f"_read_{name}", None)
        if reader is not None:
            node: Node = reader()
            return node
        raise Unsupported(f"\\{name}")

    def _read_pi(self) -> Node:
        return Node("const", name="pi")

    def _read_infty(self) -> Node:
        return Node("const", name="infty")

    def _read_frac(self) -> Node:
        if self._is_derivative():
            if not self._names_a_derivative():
                raise Unsupported("a derivative")
            return self._derivative()
        top = self.argument()
        return Node("div", (top, self.argument()))

    def _is_derivative(self) -> bool:
        r"""`\frac{dy}{dx}`: a name, not a quotient of products."""
        token = self.peek(1)
        return self.is_op("{") and token is not None and token.kind in {"sym", "word"} and (
            token.text == "partial" or token.text[0] == "d"
        ) and self._denominator_is_differential()  # fmt: skip

    def _denominator_is_differential(self) -> bool:
        place = self.at + 1
        while place < len(self.tokens) and self.tokens[place].text != "}":
            place += 1
        below = self.tokens[place + 1 : place + 3]
        return len(below) == 2 and below[0].text == "{" and (below[1].text == "partial" or below[1].text[0] == "d")

    def _names_a_derivative(self) -> bool:
        r"""`\frac{dy}{dx}`; `\frac{d}{dx}` works on what follows, `\frac{d(x^2)}{dx}` on what is in it."""
        token = self.peek(1)
        return token is not None and token.kind == "word" and self.is_op("}", ahead=2)

    def _derivative(self) -> Node:
        name, depth, groups = "", 0, 0
        while groups < 2:
            token = self.take()
            depth += (token.text == "{") - (token.text == "}")
            groups += token.text == "}" and depth == 0
            name += token.text
        return Node("name", name=name)

    def _read_sqrt(self) -> Node:
        index = num(2)
        if self.is_op("["):
            index = self.group()
        return Node("root", (self.argument(whole_number=True), index))

    def _read_binom(self) -> Node:
        top = self.argument()
        return Node("fn", (top, self.argument()), "binom")

    def _read_lfloor(self) -> Node:
        return self._between("rfloor", "floor")

    def _read_lceil(self) -> Node:
        return self._between("rceil", "ceil")

    def _between(self, closing: str, name: str) -> Node:
        node = self.sum()
        if not self.is_cmd(closing):
            raise Unreadable(f"\\{closing} is missing")
        self.at += 1
        return Node("fn", (node,), name)

    def _decorated(self, name: str) -> Node:
        node = self.argument(whole_number=True)
        names = [node.name] if node.op == "const" and name != "bar" else sorted(names_in(node))
        if not names and name == "bar" and _holds_i(node):
            return Node("fn", (node,), "conj")
        if not names or node.op not in {"name", "mul", "index", "const"}:
            raise Undecided(f"\\{name}")
        return self._name_or_index(f"{name} {' '.join(names)}")

    def _name_or_index(self, name: str) -> Node:
        if not self.is_op("_"):
            return Node("name", name=name)
        self.at += 1
        return self._indexed(name)

    def _read_overline(self) -> Node:
        return self._decorated("bar")

    def _read_bar(self) -> Node:
        return self._decorated("bar")

    def _read_hat(self) -> Node:
        return self._decorated("hat")

    def _read_tilde(self) -> Node:
        return self._decorated("tilde")

    def _read_dot(self) -> Node:
        return self._decorated("dot")

    def _read_ddot(self) -> Node:
        return self._decorated("ddot")

    def _read_sum(self) -> Node:
        return self._series("sum")

    def _read_prod(self) -> Node:
        return self._series("prod")

    def _series(self, op: str) -> Node:
        self.expect("_")
        self.expect("{")
        variable = self.take()
        self.expect("=")
        if variable.kind != "sym":
            raise Unsupported("a sum over a condition")
        low = self.sum()
        self.expect("}")
        self.expect("^")
        high = self.argument(whole_number=True)
        body = _bound(self.term(), variable.text)
        return Node(op, (low, high, body), variable.text)

    def _function(self, name: str) -> Node:
        power = base = None
        for _ in range(2):
            if power is None and self.is_op("^"):
                self.at += 1
                power = self.argument(whole_number=True)
            if base is None and self.is_op("_"):
                self.at += 1
                base = self.argument(whole_number=True)
        return _applied(name, self._operands(name), base, power)

    def _operands(self, name: str) -> tuple[Node, ...]:
        if self.is_op("("):
            return self._call(name).args
        if self.is_op("{"):
            return (self.group(),)
        return (self._unbracketed(),)

    def _unbracketed(self) -> Node:
        r"""`\sin 2x`: the product up to the next sign or function; a sign of its own may lead."""
        if self.is_op("-"):
            self.at += 1
            return self.made(Node("neg", (self._unbracketed_product(),)))
        return self._unbracketed_product()

    def _unbracketed_product(self) -> Node:
        if self.is_cmd(*FUNCTIONS):
            return self.primary()
        node = self._power_or_mixed()
        while self.starts() and not self.is_cmd(*FUNCTIONS) and not self.is_op("(", "["):
            node = self.made(Node("mul", (node, self._power_or_mixed())))
        return node


def _multiplied(left: Node, sign: str, right: Node) -> Node:
    if sign == "times" and any(name.startswith("vec ") for name in names_in(left) | names_in(right)):
        raise Undecided("a cross product")
    return Node("mul", (left, right))


def _added(left: Node, sign: str, right: Node) -> Node:
    match sign:
        case "+":
            return Node("add", (left, right))
        case "-":
            return Node("add", (left, Node("neg", (right,))))
    return Node("add", (left, Node("pm", (right,), sign)))


def _parts(fraction: Node) -> tuple[Fraction | None, Fraction | None]:
    """The whole numbers of a fraction, also under a power, a factorial or a sign of degrees; None for anything else."""
    while fraction.op in {"pow", "fact", "degree"}:
        fraction = fraction.args[0]
    if fraction.op != "div" or any(part.op != "num" or part.value.denominator > 1 for part in fraction.args):
        return None, None
    return fraction.args[0].value, fraction.args[1].value


def _repeating(text: str, digits: str) -> Fraction:
    """0.1 with 6 repeating is 1/6."""
    places = len(text.partition(".")[2])
    return number(text) + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)


def _going_on(text: str) -> Fraction:
    """0.1666... repeats its 6; 3.14159... goes on as nobody knows."""
    whole, _, places = text.partition(".")
    found = _REPEATED.fullmatch(places)
    if found is None:
        raise Undecided("a decimal that goes on")
    return _repeating(f"{whole}.{found[1]}", found[2] or found[3])


def _holds_i(node: Node) -> bool:
    return (node.op == "const" and node.name == "i") or any(map(_holds_i, node.args))


def _bound(node: Node, variable: str) -> Node:
    """The body of a sum; inside it, the constants e and i are the variable if it is called so."""
    if node.op == "const" and node.name == variable:
        return Node("name", name=variable)
    return node._replace(args=tuple(_bound(inner, variable) for inner in node.args)) if node.args else node


def _applied(name: str, operands: tuple[Node, ...], base: Node | None, power: Node | None) -> Node:
    if name in {"log", "lg"}:
        default = num(10) if name == "lg" else None
        base = base or default
        node = Node("fn", (*operands, base), "log") if base else Node("fn", operands, "log")
    elif base is not None:
        raise Unsupported(f"\\{name} with an index")
    else:
        node = Node("fn", operands, {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name))
    if power is None:
        return node
    if power == Node("neg", (num(1),)) and f"arc{name}" in FUNCTIONS:
        return Node("fn", operands, f"arc{name}")
    return Node("pow", (node, power))
