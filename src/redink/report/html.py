"""HTML and SVG by small functions: what is put in is escaped, always, unless it is `Html` already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "input", "br", "link", "hr"})


class Html(str):
    """Text that is markup already: made by the functions here, never from what a model or a user wrote."""

    __slots__ = ()


Content = str | int | None


def element(name: str, /, *content: Content, **attributes: str | int | float | bool | None) -> Html:
    """One element; `class_` is `class`, other underscores are hyphens, True is a bare attribute, None and False none.

    >>> element("p", "a < b", element("b", "!"), class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b<b>!</b></p>'
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(opening if name in VOID else f"{opening}{joined(content)}</{name}>")


def joined(content: Iterable[Content]) -> Html:
    """Pieces one after the other, each escaped unless it is `Html`; None is nothing."""
    return Html("".join(_escaped(piece) for piece in content if piece is not None))


def _escaped(piece: str | int) -> str:
    return piece if isinstance(piece, Html) else escape(str(piece), quote=False)


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'
