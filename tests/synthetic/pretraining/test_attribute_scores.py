from __future__ import annotations

import pytest
import torch

from ccafl_plugin.synthetic.pretrain_command import new_model
from ccafl_plugin.synthetic.pretraining.attribute_scores import (
    ATTRIBUTES,
    Attribute,
    retrieval,
    text_features,
    texts_about,
    zero_shot,
)
from ccafl_plugin.synthetic.pretraining.captions import vocabulary
from ccafl_plugin.synthetic.pretraining.contrastive_training import tokenize
from ccafl_plugin.synthetic.pretraining.image_text_pairs import Pairs
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import draw_identities


@pytest.fixture(scope="module")
def model():
    return new_model(1).eval()


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    different = {person.caption(): person for person in draw_identities(60, Dice(1), set())}
    persons = tuple(different.values())[:30]  # relatives may differ in what captions don't say
    images = torch.randint(256, (30, 3, 32, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Pairs(images, torch.arange(30), persons)


def test_always_the_same_answer_is_chance(model, pairs):
    """Right for one of two, however often each is true: the more frequent answer earns nothing."""
    bags = [person.bag != "none" for person in pairs.persons]
    assert 0 < sum(bags) != len(bags) / 2
    same = {"True": ("bag",), "False": ("bag",)}
    score = zero_shot(model, pairs, {"bag": Attribute(ATTRIBUTES["bag"].of, same)})["bag"]
    assert (score.accuracy, score.chance) == (0.5, 0.5)


def test_the_answer_is_the_most_similar_text(model, pairs, monkeypatch):
    """Pictures whose feature is that of a text get the answer of that text."""
    colour = ATTRIBUTES["upper colour"]
    own = [text_features(model, texts_about(colour.words[person.top_colour][0])).mean(0) for person in pairs.persons]
    monkeypatch.setattr(
        "ccafl_plugin.synthetic.pretraining.attribute_scores.image_features", lambda *_: torch.stack(own)
    )
    assert zero_shot(model, pairs, {"colour": colour})["colour"].accuracy == 1.0


def test_retrieval_by_captions(model, pairs, monkeypatch):
    said = text_features(model, [f"A photo of {person.caption()}." for person in pairs.persons])
    monkeypatch.setattr("ccafl_plugin.synthetic.pretraining.attribute_scores.image_features", lambda *_: said)
    assert retrieval(model, pairs, batch_size=10) == 1.0
    # Each picture is like the caption of the next person; within a batch of ten, the last one's is not there.
    monkeypatch.setattr(
        "ccafl_plugin.synthetic.pretraining.attribute_scores.image_features", lambda *_: said.roll(-1, 0)
    )
    assert retrieval(model, pairs, batch_size=10) <= 3 / 30


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_every_person_has_an_answer_in_known_words(name):
    attribute = ATTRIBUTES[name]
    assert {attribute.of(person) for person in draw_identities(500, Dice(2), set())} <= attribute.words.keys()
    texts = [text for ways in attribute.words.values() for words in ways for text in texts_about(words)]
    assert torch.isin(tokenize(texts), torch.unique(tokenize(vocabulary()))).all()
