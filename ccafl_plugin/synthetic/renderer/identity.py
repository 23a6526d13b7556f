"""The attributes of a rendered person: body, hair, clothes, bags and hats; how they are drawn at random; a caption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice

from ccafl_plugin.synthetic.renderer.dice import Dice

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "black": (28, 28, 32),
    "white": (228, 228, 224),
    "grey": (122, 124, 128),
    "navy": (34, 42, 84),
    "blue": (52, 96, 178),
    "red": (178, 38, 44),
    "green": (48, 118, 66),
    "yellow": (216, 184, 60),
    "purple": (108, 62, 134),
    "pink": (218, 130, 160),
    "orange": (214, 112, 44),
    "brown": (108, 74, 50),
    "beige": (190, 168, 132),
}
"""Colours of clothes by name, before the effects of a camera."""

SKIN: dict[str, Colour] = {
    "pale": (232, 198, 176),
    "light": (216, 172, 144),
    "olive": (186, 140, 106),
    "brown": (140, 96, 70),
    "dark": (88, 60, 48),
}

HAIR: dict[str, Colour] = {
    "black": (26, 22, 22),
    "brown": (82, 56, 38),
    "blond": (198, 164, 98),
    "grey": (158, 156, 154),
    "red": (150, 70, 36),
}

TOP_COLOURS = {
    "black": 16, "white": 12, "grey": 12, "navy": 9, "blue": 9, "red": 8, "green": 7,
    "yellow": 4, "purple": 4, "pink": 5, "orange": 4, "brown": 5, "beige": 5,
}  # fmt: skip
BOTTOM_COLOURS = {
    "black": 20, "navy": 14, "blue": 14, "grey": 14, "beige": 11, "brown": 8, "white": 6, "green": 6, "red": 3,
}  # fmt: skip
ACCENTS = {"black": 5, "white": 6, "grey": 3, "navy": 2, "red": 4, "yellow": 3, "green": 2, "blue": 3, "orange": 2}
SHOES = {"black": 9, "white": 7, "brown": 5, "grey": 3, "red": 2, "blue": 2}

TOPS = {"T-shirt": 8, "shirt": 8, "hoodie": 5, "open jacket": 6, "coat": 4}
PATTERNS = {"plain": 12, "striped": 4, "pinstriped": 2, "checked": 3, "dotted": 2, "two-tone": 3}
PRINTS = {"none": 12, "front": 4, "back": 3}
BOTTOMS = {"man": {"trousers": 10, "shorts": 4}, "woman": {"trousers": 8, "leggings": 4, "skirt": 5, "shorts": 2}}
HAIRSTYLES = {"man": {"short": 12, "bald": 2, "long": 1}, "woman": {"long": 6, "short": 3, "bun": 3, "ponytail": 4}}
BAGS = {"none": 8, "backpack": 5, "shoulder bag": 5, "handbag": 4}
HATS = {"none": 14, "cap": 3, "beanie": 2}
BUILDS = {"slim": 3, "average": 5, "heavy": 2}


@dataclass(frozen=True)
class Identity:
    """The attributes of a person that all cameras see. Two persons of a benchmark differ in at least one attribute.

    ``side`` is the side of the body, left or right, on which a shoulder bag or a handbag is carried.
    """

    sex: str
    build: str
    skin: str
    hairstyle: str
    hair: str
    top: str
    top_colour: str
    pattern: str
    second_colour: str
    print_place: str
    print_colour: str
    bottom: str
    bottom_colour: str
    shoes: str
    bag: str
    bag_colour: str
    side: str
    hat: str
    hat_colour: str

    def caption(self) -> str:
        """A description with all attributes, as in "a woman with long brown hair, a red striped shirt, ..."."""
        hair = "a bald head" if self.hairstyle == "bald" else self._hair_words()
        words = [f"{_with_article(self.sex)} with {hair}", self._top_words()]
        if self.print_place != "none":
            words[-1] += f" with a {self.print_colour} print on the {self.print_place}"
        bottom = f"{self.bottom_colour} {self.bottom}"
        words.append(_with_article(bottom) if self.bottom == "skirt" else bottom)
        words.append(f"{self.shoes} shoes")
        if self.hat != "none":
            words.append(_with_article(f"{self.hat_colour} {self.hat}"))
        if self.bag != "none":
            words.append(_with_article(f"{self.bag_colour} {self.bag}"))
        return ", ".join(words)

    def _top_words(self) -> str:
        if self.top == "open jacket":
            return f"an open {self.top_colour} jacket over a {self.second_colour} shirt"
        if self.pattern == "plain":
            return _with_article(f"{self.top_colour} {self.top}")
        return _with_article(f"{self.top_colour} and {self.second_colour} {self.pattern} {self.top}")

    def _hair_words(self) -> str:
        if self.hairstyle in ("bun", "ponytail"):
            return f"{self.hair} hair in a {self.hairstyle}"
        return f"{self.hairstyle} {self.hair} hair"


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


CHANGES = {
    "top_colour": 6, "bottom_colour": 5, "pattern": 4, "second_colour": 2, "print": 3, "bag": 5, "bag_colour": 3,
    "hat": 2, "hair": 3, "hairstyle": 3, "shoes": 2, "build": 2, "bottom": 2, "top": 3, "skin": 2,
}  # fmt: skip
"""Attributes in which members of a family differ, with weights."""


def draw_identity(dice: Dice) -> Identity:
    """Draws a new person. An attribute that cannot be seen gets a fixed value: a missing bag has the colour "none"."""
    sex = dice.choose(("man", "woman"))
    return _tidy(
        Identity(
            sex=sex,
            build=dice.weighted(BUILDS),
            skin=dice.choose(tuple(SKIN)),
            hairstyle=dice.weighted(HAIRSTYLES[sex]),
            hair=dice.weighted({"black": 8, "brown": 7, "blond": 4, "grey": 3, "red": 1}),
            top=dice.weighted(TOPS),
            top_colour=dice.weighted(TOP_COLOURS),
            pattern=dice.weighted(PATTERNS),
            second_colour=dice.weighted(ACCENTS),
            print_place=dice.weighted(PRINTS),
            print_colour=dice.weighted(ACCENTS),
            bottom=dice.weighted(BOTTOMS[sex]),
            bottom_colour=dice.weighted(BOTTOM_COLOURS),
            shoes=dice.weighted(SHOES),
            bag=dice.weighted(BAGS),
            bag_colour=dice.weighted(ACCENTS),
            side=dice.choose(("left", "right")),
            hat=dice.weighted(HATS),
            hat_colour=dice.weighted(ACCENTS),
        )
    )


def draw_relative(person: Identity, dice: Dice) -> Identity:
    """Draws a person who differs from ``person`` in one or two attributes."""
    other = draw_identity(dice)
    changed = person
    for _ in range(dice.between(1, 2)):
        what = dice.weighted(CHANGES)
        names: tuple[str, ...] = ("print_place", "print_colour") if what == "print" else (what,)
        if what == "bag":
            names = ("bag", "bag_colour", "side")
        elif what == "hat":
            names = ("hat", "hat_colour")
        elif what in ("hairstyle", "bottom") and other.sex != person.sex:
            continue
        changed = replace(changed, **{name: getattr(other, name) for name in names})
    return _tidy(changed)


def draw_identities(count: int, dice: Dice, taken: set[Identity]) -> list[Identity]:
    """Draws ``count`` persons in families of one to four relatives; none is in ``taken``, and all are added to it."""
    return list(islice(_families(dice, taken), count))


def _families(dice: Dice, taken: set[Identity]) -> Iterator[Identity]:
    while True:
        person = draw_identity(dice)
        for _ in range(dice.between(1, 4)):
            if person not in taken:
                taken.add(person)
                yield person
            person = draw_relative(person, dice)


def _tidy(person: Identity) -> Identity:
    """The same person with consistent attributes; attributes that cannot be seen get a fixed value."""
    jacket = person.top == "open jacket"
    pattern = "plain" if jacket else person.pattern
    print_place = "none" if jacket and person.print_place == "front" else person.print_place
    contrast = "white" if person.top_colour not in ("white", "beige") else "navy"

    def seen(colour: str, there: bool, instead: str) -> str:
        if not there:
            return "none"
        return instead if colour in ("none", person.top_colour) else colour

    return replace(
        person,
        pattern=pattern,
        second_colour=seen(person.second_colour, jacket or pattern != "plain", contrast),
        print_place=print_place,
        print_colour=seen(person.print_colour, print_place != "none", contrast),
        bag_colour="none" if person.bag == "none" else person.bag_colour.replace("none", "black"),
        side="none" if person.bag in ("none", "backpack") else person.side.replace("none", "left"),
        hat_colour="none" if person.hat == "none" else person.hat_colour.replace("none", "black"),
        hair="none" if person.hairstyle == "bald" else person.hair.replace("none", "brown"),
    )


FIELDS = tuple(field.name for field in fields(Identity))
"""Names of all attributes."""
