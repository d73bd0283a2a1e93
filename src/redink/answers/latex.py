r"""Make the many spellings of one answer alike, and cut it into tokens; linear in the length, which is bounded.

`clean` drops what only changes the looks (`\left`, `\!`, `\displaystyle`, dollar signs round mathematics) and turns
Unicode signs into LaTeX. Nothing here computes a value.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from redink.answers.units import read_unit

LONGEST = 2000
DEEPEST = 40
MOST_DIGITS = 400


class Unreadable(Exception):
    """An answer that our reader does not take; the message says why, in a few words."""


class Unsupported(Unreadable):
    """Mathematics that our reader leaves to the worker, e.g. an integral."""


class Undecided(Unsupported):
    """Neither equal nor different by anything we know; for a person or a judge, not for the worker."""


class TooLarge(Exception):
    """A bound was exceeded (digits, exponents, depth, steps): nothing of this answer is evaluated anywhere."""


class Token(NamedTuple):
    """A piece of an answer. `kind`: num, sym (one letter or a Greek name), word, cmd, text, op."""

    kind: str
    text: str
    glued: bool = False
    """No space stands before it."""


UNICODE = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "÷": r"\div ", "π": r"\pi ", "√": r"\sqrt ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ",
    "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "°": r"^\circ ", "º": r"^\circ ", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
    "ℕ": r"\mathbb{N}", "…": r"\ldots ", "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "⁄": "/", "∕": "/",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "⅕": r"\frac{1}{5}", "⅖": r"\frac{2}{5}", "⅗": r"\frac{3}{5}", "⅘": r"\frac{4}{5}", "⅙": r"\frac{1}{6}",
    "⅚": r"\frac{5}{6}", "⅛": r"\frac{1}{8}", "⅜": r"\frac{3}{8}", "⅝": r"\frac{5}{8}", "⅞": r"\frac{7}{8}",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "θ": r"\theta ", "λ": r"\lambda ",
    "μ": r"\mu ", "µ": r"\mu ", "φ": r"\phi ", "ω": r"\omega ", "σ": r"\sigma ", "ρ": r"\rho ", "τ": r"\tau ",
    "ε": r"\epsilon ", "Δ": r"\Delta ", "Ω": r"\Omega ", "⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ",
    "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "∀": r"\forall ", "∃": r"\exists ", "→": r"\to ",
    "\u00c5": " angstrom ", "\u212b": " angstrom ",
    "€": r"\euro ", "£": r"\pounds ", "¥": r"\yen ", "\u200b": "", "\ufeff": "", "％": "%", "，": ", ",
    "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] ",
}  # fmt: skip
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUPER = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUB = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_UNICODE = re.compile("|".join(map(re.escape, UNICODE)))

_DOUBLED = re.compile(r"\\\\(?=[a-zA-Z]{2})")
_HIDDEN_COMMA = re.compile(r"(?<=\d)\s{0,3}(?:\{\s?,\s?\}|,\s{0,3}\\!|\\!\s?,|\\,)\s{0,3}(?:\\!\s?)?(?=\d{3}(?!\d))")
_LOOKS = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|limits|nolimits|bf|it|rm|quad|qquad|hfill|"
    r"hspace\{[^{}]{0,20}\}|vspace\{[^{}]{0,20}\}|phantom\{[^{}]{0,40}\}|thinspace|enspace|space|noindent|boldmath|phantom|"
    r"ensuremath|num)"
    r"(?![a-zA-Z])\.?(?<!\\right\.)"
)
_LOOKS_DOT = re.compile(r"\\right\s?\.")
_OUTWARD = re.compile(
    r"^(?:\\left\s?)?(?P<open>[\[\]])(?P<ends>[^\[\]]{1,200}?[,;][^\[\]]{1,200}?)(?:\\right\s?)?(?P<close>[\[\]])$"
)
_SPELLED_OUT = re.compile(
    r"(?:(?:so|thus|hence|therefore)[, ]\s?)?(?:(?:the\s)?(?:(?:final|correct)\s)?answer\s?(?:is\b\s?:?|:|=)"
    r"|exactly(?=\s))\s?", re.IGNORECASE
)  # fmt: skip
_SPELLED_AS_TEXT = re.compile(rf"\\text\s?\{{\s?{_SPELLED_OUT.pattern}(?P<end>\}}?)", re.IGNORECASE)
_RUPEES = re.compile(r"^Rs\.\s?(?=\d)")
_TIMES_TEN = re.compile(r"(?<=\d)\s?[xX]\s?(?=10\s?(?:\^|\*\*))")
_STYLED_LETTER = re.compile(r"\\(mathbb|mathbf|mathrm|mathcal|vec)\s([A-Za-z])(?![a-zA-Z])")
_THIN = re.compile(r"\\[!]")
_SPACE = re.compile(r"(?<!\\)\\[,;:> \n]|~|\s+")
_STOP_INSIDE = re.compile(r"(?<![.\\])\.\s?\$(?=\s?\.?\s?$)")
_DELIMITER = re.compile(r"(?<!\\)\\[()\[\]]|\$\$")
_PRIMES = re.compile(r"\^\s?\{?\s?((?:\\prime(?![a-zA-Z])\s?)+)\}?")
_DROPPED = re.compile(r"\\(?:boxed|fbox|framebox)\s?(?=\{)|\\(?:text)?color\s?\{[^{}]{0,20}\}")
_ROUND_ALL = re.compile(r"\\(?:boxed|fbox|framebox|underline|uline)\s?(?=\{)")
_FRACTION = re.compile(r"\\(?:[dtcsx]|nice)frac(?![a-zA-Z])")
_BINOMIAL = re.compile(r"\\[dt]binom(?![a-zA-Z])")
_SAME = {
    "leq": "le", "leqslant": "le", "leqq": "le", "geq": "ge", "geqslant": "ge", "geqq": "ge", "neq": "ne", "lt": "<",
    "gt": ">", "ast": "*", "colon": ":", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "dots": "ldots",
    "cdots": "ldots", "dotsc": "ldots", "varnothing": "emptyset", "ge": "ge", "le": "le", "rightarrow": "to",
    "lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "degree": "circ",
    "varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta", "arctg": "arctan", "tg": "tan", "ctg": "cot",
    "backslash": "setminus", "smallsetminus": "setminus", "wedge": "land", "vee": "lor", "prime": "'", "land": "land",
    "bigcup": "cup", "bigcap": "cap", "doteq": "=", "cosec": "csc",
}  # fmt: skip

WORDS_OF_TEXT = r"text|textbf|textit|textrm|textsf|textnormal|mbox|hbox|emph|textup"
STYLES = "mathrm|operatorname|mathbf|mathit|mathsf|boldsymbol|mathcal|mathbb|vec|rm|bm|overrightarrow|operatorname\\*"
_TEXT = re.compile(
    rf"\\(?P<name>{WORDS_OF_TEXT}|{STYLES})\s?\{{(?P<content>(?:[^{{}}]|\^\s?\{{[-+\d\s]{{1,8}}\}}){{0,400}})\}}"
)
_MICRO = re.compile(r"\\mu\s*\\(text|mathrm)\s?\{\s*(?=[a-zA-Z])")
_MICRO_INSIDE = re.compile(r"\\mu\s*(?=[a-zA-Z])")
_ANGSTROM = re.compile(r"\\AA(?![a-zA-Z])|\\mathring\s?\{\s?(?:\\mathrm\s?\{)?\s?A\s?\}?\s?\}")
_ENDS_UNIT = re.compile(r"\s*(?:$|[/^),.;\]}]|\\(?:cdot|times|mathrm|text|\}|\])|and\b|or\b)")
_INLINE = re.compile(r"[\s\d.,()+\-*/]*(?:\(?[A-Z]\)?(?:\s?,\s?\(?[A-Z]\)?)*)?[\s\d.,()]*")

GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
    "xi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Phi", "Psi", "Omega", "ell", "hbar", "nabla", "partial",
})  # fmt: skip
NAMED = frozenset({
    "sqrt", "pi", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "log", "ln", "lg", "exp", "abs", "floor", "ceil", "infty", "binom", "gcd", "lcm", "max", "min", "asin", "acos",
    "atan",
})  # fmt: skip
"""Names that stand for themselves also without a backslash."""

_PIECE = re.compile(
    r"(?P<num>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+(?![\w.]))?)|(?P<cmd>\\[a-zA-Z]+|\\[{}%$#&_|\\])|(?P<word>[A-Za-z]+)"
    r"|(?P<op>\*\*|<=|>=|!=|==|\.\.\.+|[-+*/^_=<>!|()\[\]{},;:%'&$])|(?P<quote>\"[^\"]{0,200}\")|(?P<other>\S)"
)
_OPERATORS = {"**": "^", "<=": "le", ">=": "ge", "!=": "ne", "==": "=", "<": "<", ">": ">"}


def clean(text: str) -> str:
    """The answer with one spelling for what looks differ in.

    Raises `TooLarge` beyond `LONGEST` characters and `Undecided` where something is struck out.
    """
    if len(text) > LONGEST:
        raise TooLarge(f"longer than {LONGEST} characters")
    if "~~" in text:
        raise Undecided("something is struck out")
    text = _announced(_unboxed(_punctuated(_from_unicode(text.strip(" `\n")))))
    text = text.replace("**", "^" if re.search(r"\w\*\*\w", text) else " ")
    if "\\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    if text[:1] in {"[", "]", "\\"}:
        text = _OUTWARD.sub(_turned, text)
    text = _HIDDEN_COMMA.sub("", text).replace("{,}", ",")
    if "10" in text and "x" in text.lower():
        text = _TIMES_TEN.sub(r"\\times ", text)
    text = _DELIMITER.sub(" ", _THIN.sub("", text))
    text = _PRIMES.sub(lambda found: "'" * found[1].count("prime"), _LOOKS_DOT.sub(" ", text))
    text = _ANGSTROM.sub(" angstrom ", _MICRO.sub(r"\\\1{\\mu ", text))
    text = _BINOMIAL.sub(r"\\binom", _FRACTION.sub(r"\\frac", _LOOKS.sub(" ", text)))
    text = _SPACE.sub(" ", _DROPPED.sub("", text)).strip()
    if "\\" in text:
        text = _STYLED_LETTER.sub(r"\\\1{\2}", text).removesuffix("\\\\")
    return _punctuated(_RUPEES.sub("Rs ", text) if text.startswith("Rs") else text)


def _turned(found: re.Match[str]) -> str:
    """Open ends written as brackets that look outward, ]0, 1[, in the other spelling."""
    return ("[" if found["open"] == "[" else "(") + found["ends"] + ("]" if found["close"] == "]" else ")")


def _announced(text: str) -> str:
    """Without "the answer is" or "exactly" before it, also where that stands in a text command."""
    if text[:1] != "\\" and not text[:1].isalpha():
        return text
    if found := _SPELLED_OUT.match(text):
        return text[found.end() :]
    if found := _SPELLED_AS_TEXT.match(text):
        return ("" if found["end"] else "\\text{") + text[found.end() :]
    return text


def _unboxed(text: str) -> str:
    """What is in the box or above the line, if one holds everything."""
    found = _ROUND_ALL.match(text.strip())
    if not found or not text.rstrip().endswith("}"):
        return text
    inner, depth = text.strip()[found.end() + 1 : -1], 0
    for letter in inner:
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            return text
    return inner


def _from_unicode(text: str) -> str:
    if text.isascii():
        return text
    text = _SUPER.sub(lambda found: f"^{{{found[0].translate(SUPERSCRIPTS)}}}", text)
    text = _SUB.sub(lambda found: f"_{{{found[0].translate(SUBSCRIPTS)}}}", text)
    text = _UNICODE.sub(lambda found: UNICODE[found[0]], text)
    return unicodedata.normalize("NFKC", text)


def _punctuated(text: str) -> str:
    """Without the stop or comma that ends a sentence, also just inside closing dollar signs; `...` stays."""
    text = _undollared(_STOP_INSIDE.sub("$", text)).strip()
    while text[-1:] in {".", ",", ";", ":"} and not text.endswith(("..", "\\,", "\\;", "\\:")):
        text = text[:-1].rstrip()
    return text


def _undollared(text: str) -> str:
    r"""Without the dollar signs round mathematics; an odd one, like `\$`, is money."""
    bare = re.sub(r"(?<!\\)\$", "", text)
    return text if bare == text else (bare if (len(text) - len(bare)) % 2 == 0 else _money(text))


def _money(text: str) -> str:
    first = re.search(r"(?<!\\)\$", text)
    rest = re.sub(r"(?<!\\)\$", "", text)
    return rest[: first.start()] + r"\$" + rest[first.start() :] if first else rest


def tokens(text: str) -> list[Token]:
    """The tokens of a cleaned text; raises `TooLarge` for too many digits or brackets nested too deeply."""
    found: list[Token] = []
    for glued, piece in _pieces(text):
        found.extend(piece if not found else [piece[0]._replace(glued=glued), *piece[1:]])
    _bounded(found)
    return found


def _pieces(text: str) -> list[tuple[bool, list[Token]]]:
    pieces: list[tuple[bool, list[Token]]] = []
    last = 0
    for start, end, made in _spans(text):
        if made:
            pieces.append((start == last, made))
        last = end
    return pieces


def _spans(text: str) -> list[tuple[int, int, list[Token]]]:
    """(start, end, tokens) of every piece: text commands whole, the rest by `_PIECE`."""
    spans: list[tuple[int, int, list[Token]]] = []
    position = 0
    while position < len(text):
        words = _TEXT.match(text, position) if text[position] == "\\" else None
        if words:
            spans.append((words.start(), words.end(), _unit_or_text(words, text, spans)))
            position = words.end()
            continue
        found = _PIECE.match(text, position)
        if found is None:
            position += 1
            continue
        spans.append((found.start(), found.end(), _plain_tokens(found)))
        position = found.end()
    return spans


def _unit_or_text(found: re.Match[str], text: str, before: list[tuple[int, int, list[Token]]]) -> list[Token]:
    r"""`5\mathrm{K}`, `9.8\mathrm{m/s^2}`: upright letters between a number and an end are a unit."""
    content = _MICRO_INSIDE.sub("µ", found["content"]).strip()
    if found["name"] in _UPRIGHT and before and _ENDS_UNIT.match(text, found.end()) and _is_unit(content):
        last = before[-1][2][-1] if before[-1][2] else None
        if last is not None and (last.kind in {"num", "text"} or last.text in {"}", ")", "%", "/", "cdot", "times"}):
            return [Token("text", content)]
    return _text_tokens(found["name"], content)


_ARROWS, _BOLD = frozenset({"vec", "overrightarrow"}), frozenset({"mathbf", "boldsymbol", "bm"})
_UPRIGHT = frozenset({"mathrm", "rm", "text", "textrm"})


def _is_unit(content: str) -> bool:
    return not content[:1].isdigit() and read_unit(content.replace("\\", " ")).known


def _text_tokens(name: str, content: str) -> list[Token]:
    """What a text command holds: words, a mathematical name, or plain numbers and choices, which need no command."""
    content = content.replace("\\", " ").strip()
    styled = re.fullmatch(STYLES, name) is not None
    if name == "mathbb":
        return [Token("cmd", f"bb{content}")]
    if re.fullmatch(r"[A-Za-z]" if name in _BOLD else r"[A-Za-z]['\w]{0,8}", content) and name in _BOLD | _ARROWS:
        return [Token("sym", f"vec {content}")]
    if name in _ARROWS | _BOLD | {"mathcal", "mathit"} or (styled and content in NAMED):
        return tokens(content)
    if styled and (re.fullmatch(r"[eidA-Z]|[A-Z]{2}", content) or re.search(r"\d", content)):
        return tokens(content)
    if _INLINE.fullmatch(content) and len(content) > 1:
        return tokens(content)
    return [Token("text", " ".join(content.split()))]


def _plain_tokens(found: re.Match[str]) -> list[Token]:
    text = found[0]
    match found.lastgroup:
        case "num":
            return [Token("num", text)]
        case "cmd":
            return [_command(text[1:])]
        case "word":
            return _word_tokens(text)
        case "op":
            return [_operator(text)]
        case "quote":
            return [Token("text", " ".join(text[1:-1].split()))]
    raise Unreadable(f"a strange character {text!a}")


def _operator(text: str) -> Token:
    if text.startswith("..."):
        return Token("cmd", "ldots")
    if text in {"<=", ">=", "!="}:
        return Token("cmd", _OPERATORS[text])
    return Token("op", _OPERATORS.get(text, text))


def _command(name: str) -> Token:
    name = _SAME.get(name, name)
    if name in GREEK:
        return Token("sym", name)
    if name in {"{", "}"}:
        return Token("op", f"\\{name}")
    if name in {"<", ">", "*", ":", "|", "[", "]", "(", ")", "=", "'", "%"}:
        return Token("op", name)
    return Token("cmd", name)


def _word_tokens(text: str) -> list[Token]:
    """A run of letters: a known name, letters that are multiplied, or (from four letters on) a word."""
    if text in NAMED:
        return [Token("cmd", text)]
    if text.lower() in {"oo", "inf", "infinity"}:
        return [Token("cmd", "infty")]
    for name in ("pi", "sqrt"):
        if len(text) <= 6 and text.endswith(name) and len(text) - len(name) <= 2:
            return [*(Token("sym", letter, True) for letter in text[: -len(name)]), Token("cmd", name, True)]
    if len(text) == 1:
        return [Token("sym", text)]
    return [Token("word", text)]


def _bounded(found: list[Token]) -> None:
    depth = 0
    for token in found:
        if token.kind == "num" and len(token.text) > MOST_DIGITS:
            raise TooLarge(f"a number of more than {MOST_DIGITS} digits")
        if token.kind == "op":
            depth += (token.text in {"(", "[", "{", "\\{"}) - (token.text in {")", "]", "}", "\\}"})
        if depth > DEEPEST:
            raise TooLarge(f"nested more than {DEEPEST} deep")
