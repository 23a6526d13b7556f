"""Captions of a person: all attributes, some attributes, or words in the form of CCAFL's prompt."""

from __future__ import annotations

from ccafl_plugin.models.prompts import PROMPT_AFTER, PROMPT_BEFORE
from ccafl_plugin.synthetic.renderer import identity as tables
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import Identity

ANY_TOP = "top"
"""A word for any upper garment, as in "a red top"."""
NO_BAG, NO_HAT = "no bag", "no hat"


def draw_caption(person: Identity, dice: Dice) -> str:
    """Draws a random true sentence about ``person``.

    Half of the sentences name all attributes. A quarter names some in any order ("A photo of a woman with a red top, no
    bag."). A quarter has the form of CCAFL's prompt, with words in the places of the learnable tokens ("A photo of a
    red T-shirt blue trousers woman person.").
    """
    form = max(dice.between(0, 3) - 1, 0)
    if form == 0:
        return f"A photo of {person.caption()}."
    chosen = draw_phrases(person, dice)
    if form == 1:
        who = dice.choose((person.sex, "person"))
        return f"{PROMPT_BEFORE} {who} with {', '.join(map(with_article, chosen))}."
    chosen = chosen[: dice.between(1, 3)]  # about as long as four learnable tokens
    if dice.chance(50):
        chosen.append(person.sex)
    return f"{PROMPT_BEFORE} {' '.join(chosen)} {PROMPT_AFTER}"


def draw_phrases(person: Identity, dice: Dice) -> list[str]:
    """One to all of the person's attributes, without articles, in random order; larger numbers are more likely."""
    ways = phrases(person)
    count = max(dice.between(1, len(ways)), dice.between(1, len(ways)))
    return [dice.choose(ways[name]) for name in dice.sample(tuple(ways), count)]


def phrases(person: Identity) -> dict[str, tuple[str, ...]]:
    """For each attribute its possible wordings, e.g. ``{"bottom": ("blue trousers",), "bag": ("black bag", ...)}``."""
    ways = {
        "hair": (_hair(person),),
        "top": _top(person),
        "bottom": (f"{person.bottom_colour} {person.bottom}",),
        "shoes": (f"{person.shoes} shoes",),
        "bag": (NO_BAG,) if person.bag == "none" else _carried(person.bag_colour, person.bag, "bag"),
        "hat": (NO_HAT,) if person.hat == "none" else _carried(person.hat_colour, person.hat, "hat"),
    }
    if person.print_place != "none":
        ways["print"] = (f"{person.print_colour} print on the {person.print_place}",)
    return ways


def with_article(words: str) -> str:
    """ "a red top", but "blue trousers" and "no bag"."""
    if words.startswith("no ") or words.split()[-1] in ("trousers", "shorts", "leggings", "shoes", "hair"):
        return words
    if " hair in a " in words:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def vocabulary() -> list[str]:
    """Every word that occurs in any caption, once."""
    words = {"a", "an", "and", "bag", "bald", "bun", "hair", "hat", "head", "in", "jacket", "no", "on", "open", "over"}
    words |= {"person", "ponytail", "print", "shirt", "shoes", "the", "with", "man", "woman", ANY_TOP}
    lists = (tables.COLOURS, tables.HAIR, tables.TOPS, tables.PATTERNS, tables.PRINTS, tables.BAGS, tables.HATS)
    nested = (tables.BOTTOMS["man"], tables.BOTTOMS["woman"], tables.HAIRSTYLES["man"], tables.HAIRSTYLES["woman"])
    words |= {word for table in (*lists, *nested) for name in table for word in name.split()}
    return [*sorted(words), ",", f"{PROMPT_BEFORE} X {PROMPT_AFTER}"]


def _hair(person: Identity) -> str:
    if person.hairstyle == "bald":
        return "bald head"
    if person.hairstyle in ("bun", "ponytail"):
        return f"{person.hair} hair in a {person.hairstyle}"
    return f"{person.hairstyle} {person.hair} hair"


def _top(person: Identity) -> tuple[str, ...]:
    short = f"{person.top_colour} {ANY_TOP}"
    if person.top == "open jacket":
        return short, f"open {person.top_colour} jacket over a {person.second_colour} shirt"
    if person.pattern == "plain":
        return short, f"{person.top_colour} {person.top}"
    return (
        short,
        f"{person.top_colour} {person.pattern} {person.top}",
        f"{person.top_colour} and {person.second_colour} {person.pattern} {person.top}",
    )


def _carried(colour: str, kind: str, generally: str) -> tuple[str, ...]:
    return f"{colour} {kind}", kind, generally
