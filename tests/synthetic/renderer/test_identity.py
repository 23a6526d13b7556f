from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import FIELDS, Identity, draw_identities, draw_identity, draw_relative

WOMAN = Identity(
    sex="woman", build="slim", skin="light", hairstyle="short", hair="black", top="shirt", top_colour="red",
    pattern="striped", second_colour="white", print_place="back", print_colour="black", bottom="trousers",
    bottom_colour="blue", shoes="brown", bag="backpack", bag_colour="black", side="none", hat="cap",
    hat_colour="orange",
)  # fmt: skip


def differences(a, b):
    return {name for name in FIELDS if getattr(a, name) != getattr(b, name)}


def test_a_caption():
    assert WOMAN.caption() == (
        "a woman with short black hair, a red and white striped shirt with a black print on the back, blue trousers, "
        "brown shoes, an orange cap, a black backpack"
    )


def test_other_words():
    from dataclasses import replace

    man = replace(WOMAN, sex="man", hairstyle="bald", hair="none", top="open jacket", pattern="plain",
                  print_place="none", bag="none", hat="none", bottom="skirt")  # fmt: skip
    assert man.caption() == ("a man with a bald head, an open red jacket over a white shirt, a blue skirt, brown shoes")
    assert "blond hair in a ponytail" in replace(WOMAN, hair="blond", hairstyle="ponytail").caption()
    assert ", an orange coat" in replace(WOMAN, top="coat", top_colour="orange", pattern="plain",
                                         print_place="none").caption()  # fmt: skip


@given(seed=st.integers(0, 2**31))
def test_attributes_fit_together(seed):
    dice = Dice(seed)
    person = draw_identity(dice)
    for _ in range(4):
        assert (person.bag == "none") == (person.bag_colour == "none")
        assert (person.hat == "none") == (person.hat_colour == "none")
        assert (person.print_place == "none") == (person.print_colour == "none")
        assert (person.hairstyle == "bald") == (person.hair == "none")
        assert (person.side != "none") == (person.bag in ("shoulder bag", "handbag"))
        assert (person.second_colour != "none") == (person.pattern != "plain" or person.top == "open jacket")
        assert person.top_colour not in (person.second_colour, person.print_colour)
        assert "none" not in person.caption()
        person = draw_relative(person, dice)


@given(seed=st.integers(0, 2**31))
def test_relatives_differ_in_little(seed):
    dice = Dice(seed)
    person = draw_identity(dice)
    together = {"bag": {"bag", "bag_colour", "side"}, "hat": {"hat", "hat_colour"},
                "print": {"print_place", "print_colour"}}  # fmt: skip
    changed = differences(person, draw_relative(person, dice))
    for name, group in together.items():
        if changed & group:
            changed = changed - group | {name}
    # A new main colour can displace an equal second one, a jacket has no pattern, a bald head no colour of hair.
    assert len(changed - {"second_colour", "print", "pattern", "hair"}) <= 2


def test_all_persons_differ_and_many_by_little():
    taken = {WOMAN}
    persons = draw_identities(300, Dice("many"), taken)
    assert len(persons) == 300
    assert len(taken) == 301
    assert taken == {WOMAN, *persons}
    nearest = Counter(min(len(differences(a, b)) for b in persons if b is not a) for a in persons)
    assert sum(count for number, count in nearest.items() if number <= 4) > 150


def test_nobody_twice_in_two_calls():
    taken = set()
    first, second = draw_identities(50, Dice("x"), taken), draw_identities(50, Dice("x"), taken)
    assert not set(first) & set(second)
