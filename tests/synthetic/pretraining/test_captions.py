from __future__ import annotations

import pytest
import torch

from ccafl_plugin.synthetic.pretraining.captions import draw_caption, draw_phrases, phrases, vocabulary, with_article
from ccafl_plugin.synthetic.pretraining.contrastive_training import tokenize
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import Identity, draw_identity

WOMAN = Identity(
    sex="woman", build="slim", skin="light", hairstyle="short", hair="black", top="shirt", top_colour="red",
    pattern="striped", second_colour="white", print_place="back", print_colour="black", bottom="trousers",
    bottom_colour="blue", shoes="brown", bag="backpack", bag_colour="black", side="none", hat="none",
    hat_colour="none",
)  # fmt: skip


def test_what_can_be_said_about_a_person():
    assert phrases(WOMAN) == {
        "hair": ("short black hair",),
        "top": ("red top", "red striped shirt", "red and white striped shirt"),
        "bottom": ("blue trousers",),
        "shoes": ("brown shoes",),
        "bag": ("black backpack", "backpack", "bag"),
        "hat": ("no hat",),
        "print": ("black print on the back",),
    }


def test_each_attribute_is_said_once_at_most():
    ways = phrases(WOMAN)
    for seed in range(50):
        said = draw_phrases(WOMAN, Dice(seed))
        names = [name for phrase in said for name, phrases_of in ways.items() if phrase in phrases_of]
        assert len(names) == len(set(names)) == len(said) >= 1


def test_forms_of_captions():
    captions = [draw_caption(WOMAN, Dice(seed)) for seed in range(300)]
    assert all(caption.startswith("A photo of a ") and caption.endswith(".") for caption in captions)
    whole = [caption for caption in captions if caption == f"A photo of {WOMAN.caption()}."]
    parts = [caption for caption in captions if caption not in whole and " with " in caption]
    prompts = [caption for caption in captions if caption.endswith(" person.")]
    assert min(len(whole), len(parts), len(prompts)) > 60
    assert len(set(captions)) > 120
    assert draw_caption(WOMAN, Dice(7)) == draw_caption(WOMAN, Dice(7))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("red top", "a red top"),
        ("orange bag", "an orange bag"),
        ("blue trousers", "blue trousers"),
        ("no bag", "no bag"),
        ("brown hair in a bun", "brown hair in a bun"),
        ("open red jacket over a white shirt", "an open red jacket over a white shirt"),
    ],
)
def test_articles(words, expected):
    assert with_article(words) == expected


def test_the_vocabulary_has_the_words_of_all_captions():
    known = torch.unique(tokenize(vocabulary()))
    captions = [draw_caption(draw_identity(Dice(seed)), Dice(seed, "words")) for seed in range(1500)]
    assert torch.isin(tokenize(captions), known).all()
    assert torch.isin(tokenize(["A photo of a X X X X person."]), known).all()
    assert len(known) < 200
