"""Formulas in TeX, as GitHub shows them, to MathML."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

BLOCK = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"\$`(.+?)`\$")
TAG = re.compile(r"\s*\\tag\{(\w+)\}")
NAME = re.compile(r"\\mathrm\{(\w{2,})\}")
MARKDOWN = {character: f"&#{ord(character)};" for character in "\\`*_|"}
"""What Markdown would read inside the text of an element."""


def to_mathml(formula: str, display: str) -> str:
    """MathML of a formula.

    Args:
        formula: TeX, without dollar signs and number.
        display: ``block`` or ``inline``.

    Raises:
        ValueError: a command that the converter does not know.
    """
    known = NAME.sub(r"\\text{\1}", formula).replace(r"\arg\m", r"\text{arg}\,\m")
    found = convert(known.strip(), display=display)
    texts = re.findall(r">([^<]+)<", found)
    if "<merror" in found or any("\\" in text for text in texts):
        raise ValueError(f"no MathML for the formula {formula.strip()!r}")
    return re.sub(
        r">([^<]+)<", lambda text: ">" + "".join(MARKDOWN.get(c, c) for c in text[1]) + "<", found.replace("\n", " ")
    )


def with_mathml(text: str) -> str:
    """A page with MathML for its formulas; a formula with a number gets the anchor ``equation-N``."""

    def block(found: re.Match[str]) -> str:
        formula, number = TAG.sub("", found[1]), TAG.search(found[1])
        label = f'<span class="number">({number[1]})</span>' if number else ""
        anchor = f' id="equation-{number[1]}"' if number else ""
        return f'<div class="equation"{anchor}>{to_mathml(formula, "block")}{label}</div>'

    return INLINE.sub(lambda found: f"<span>{to_mathml(found[1], 'inline')}</span>", BLOCK.sub(block, text))
