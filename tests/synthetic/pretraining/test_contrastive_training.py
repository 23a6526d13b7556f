"""A few steps of training on a handful of persons."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ccafl_plugin.models import build_clip
from ccafl_plugin.options import options
from ccafl_plugin.synthetic.pretrain_command import main, new_model
from ccafl_plugin.synthetic.pretraining.captions import vocabulary
from ccafl_plugin.synthetic.pretraining.contrastive_training import (
    Schedule,
    WordTable,
    augmented,
    matched,
    normalised,
    set_lengths,
    tokenize,
    train,
)
from ccafl_plugin.synthetic.pretraining.image_text_pairs import Pairs
from ccafl_plugin.synthetic.pretraining.weights_file import read_metadata
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import draw_identities
from ccafl_plugin.utils.errors import CCAFLError

TEXTS = ["A photo of a red top person.", "A photo of a woman with long brown hair, blue trousers, no bag.", "a bag"]


def colour_pairs(count: int = 12, size: tuple[int, int] = (32, 16)) -> Pairs:
    """Noise instead of persons: each has a colour of its own."""
    draws = torch.Generator().manual_seed(1)
    colours = torch.randint(256, (count, 3, 1, 1), generator=draws)
    noise = torch.randint(-20, 21, (count, 3, *size), generator=draws)
    images = (colours + noise).clamp(0, 255).to(torch.uint8)
    return Pairs(images, torch.arange(count), tuple(draw_identities(count, Dice(4), set())))


def test_words_are_encoded_as_by_the_text_encoder():
    encoder = new_model(1).text_encoder
    words = WordTable(encoder, vocabulary())
    torch.testing.assert_close(words(TEXTS, encoder), encoder(tokenize(TEXTS)), rtol=1e-4, atol=1e-5)


def test_only_the_rows_of_the_table_are_written_back():
    encoder = new_model(1).text_encoder
    before = encoder.token_embedding.weight.detach().clone()
    words = WordTable(encoder, vocabulary())
    words.rows.data += 1
    words.write_back(encoder)
    change = (encoder.token_embedding.weight - before).mean(dim=1)
    expected = torch.zeros(len(before))
    expected[words.tokens] = 1
    torch.testing.assert_close(change, expected)


def test_a_word_that_is_not_in_the_table():
    encoder = new_model(1).text_encoder
    with pytest.raises(KeyError, match="not in the table"):
        WordTable(encoder, vocabulary())(["a zebra"], encoder)


def test_the_schedule_rises_and_falls():
    schedule = Schedule(steps=100, warmup=10)
    factors = [schedule.factor(step) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[9] == factors[10] == 1
    assert factors == [*sorted(factors[:10]), *sorted(factors[10:], reverse=True)]
    assert factors[100] == pytest.approx(0)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 1}, {"learning_rate": 0.0}])
def test_impossible_schedules(wrong):
    with pytest.raises(CCAFLError, match=next(iter(wrong))):
        Schedule(**wrong)


def test_too_few_persons_for_a_batch():
    with pytest.raises(CCAFLError, match="12 persons are too few for batches of 16"):
        train(new_model(1), colour_pairs(), Schedule(steps=1, batch_size=16))


def test_batches_are_couples_of_neighbours(monkeypatch):
    """Neighbours in the list are relatives; nobody is in a batch twice."""
    pairs, met = colour_pairs(13), []
    monkeypatch.setattr(
        "ccafl_plugin.synthetic.pretraining.contrastive_training.draw_caption",
        lambda person, _: met.append(person) or "A photo of a man.",
    )
    train(new_model(1), pairs, Schedule(steps=3, batch_size=4, warmup=1), log=lambda _: None)
    numbers = [pairs.persons.index(person) for person in met]
    assert all(first % 2 == 0 and second == first + 1 for first, second in zip(*[iter(numbers)] * 2, strict=True))
    assert len(set(numbers)) == 12  # one pass: everybody once, but for the one without a partner


def test_lengths_of_features():
    """Cosines stay, and v . t is ``scale`` times the cosine on average."""
    model, pairs = new_model(1).eval(), colour_pairs()
    texts = [f"A photo of {person.caption()}." for person in pairs.persons]
    seen, said = model.image_embedding(normalised(pairs.images)), model.text_encoder(tokenize(texts))
    set_lengths(model, pairs, scale=20.0)
    seen_after, said_after = model.image_embedding(normalised(pairs.images)), model.text_encoder(tokenize(texts))
    torch.testing.assert_close(F.cosine_similarity(seen_after, said_after), F.cosine_similarity(seen, said))
    assert seen_after.norm(dim=1).mean().item() == pytest.approx(20**0.5, rel=1e-4)
    assert said_after.norm(dim=1).mean().item() == pytest.approx(20**0.5, rel=1e-4)


def test_share_of_matches():
    texts = torch.eye(4)
    assert matched(texts[[0, 1, 3, 2]], texts) == 0.5


def test_augmentation_keeps_values_and_moves_pictures():
    images = colour_pairs().images
    draws = torch.Generator().manual_seed(2)
    changed = augmented(images, draws)
    assert changed.shape == images.shape and changed.dtype == torch.float32
    assert changed.min() >= 0 and changed.max() <= 255
    assert not torch.equal(changed, images.float())
    assert torch.equal(augmented(images, torch.Generator().manual_seed(2)), changed)


def test_training_lowers_the_loss_and_freezes_the_text_again():
    model, said = new_model(1), []
    before = {key: value.clone() for key, value in model.text_encoder.state_dict().items()}
    losses = train(
        model, colour_pairs(), Schedule(steps=60, batch_size=12, learning_rate=2e-3, warmup=10), log=said.append
    )
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert len(said) == 20 and said[-1].startswith("step 60/60: loss ")
    after = model.text_encoder.state_dict()
    assert all(not torch.equal(before[key], after[key]) for key in before)
    assert not any(parameter.requires_grad for parameter in model.text_encoder.parameters())
    assert not model.text_encoder.training and not model.training


def test_the_command_writes_a_file_that_loads(tmp_path, capsys):
    path = tmp_path / "new" / "clip_tiny.safetensors"
    small = ["--persons", "8", "--pictures", "1", "--held-out", "4", "--steps", "3", "--batch-size", "8"]
    assert main(["--output", str(path), *small, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "step 3/3: loss" in printed
    assert printed.endswith(f"\nWritten to {path.parent}: clip_tiny.safetensors\n")
    about = read_metadata(path)
    assert about["command"].startswith("python tools/pretrain_clip.py --output") and "--steps 3" in about["command"]
    assert {"seed", "version", "zero_shot", "loss", "persons"} <= about.keys()
    assert about["licence"] == "MIT"
    assert about["data"].startswith(
        "8 pictures of 96 x 48 pixels of 8 rendered people by 40 random cameras, with captions"
    )
    with options.override(clip_weights=str(path), input_size=(96, 48)):
        model = build_clip("clip_tiny", 4, "ccafl").eval()
    features = F.normalize(model(torch.rand(2, 3, 96, 48)), dim=1)
    assert features.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--persons", "0"], "must be at least 1"), (["--steps", "0"], "--steps: 0 is out of range")],
)
def test_wrong_arguments_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
