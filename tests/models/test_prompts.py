from __future__ import annotations

import pytest
import torch

from ccafl_plugin.models import PromptLearner, TextEncoder, check_prompt_length
from ccafl_plugin.models.prompts import fixed_tokens
from ccafl_plugin.utils.errors import CCAFLError


@pytest.fixture
def text(tiny) -> TextEncoder:
    return tiny.text_encoder


@pytest.fixture
def prompts(text) -> PromptLearner:
    return PromptLearner(6, text, generator=torch.Generator().manual_seed(5))


def test_the_prompt_reads_a_photo_of_a_x_x_x_x_person():
    import open_clip

    before, after = fixed_tokens(4)
    learned = open_clip.tokenize(["X X X X"])[0, 1:5]
    assert torch.equal(
        torch.cat([before, learned, after]), open_clip.tokenize(["A photo of a X X X X person."])[0, :12]
    )
    assert open_clip.decode(before).endswith("a photo of a ")
    assert open_clip.decode(after).startswith("person .")


def test_prompts_are_the_words_around_the_context(text, prompts):
    embeddings = prompts.embeddings(torch.tensor([4, 1]))
    assert embeddings.shape == (2, 12, 128)
    before, after = fixed_tokens(4)
    assert torch.equal(embeddings[0, :5], text.token_embedding.weight[before])
    assert torch.equal(embeddings[1, 5:9], prompts.context[1])
    assert torch.equal(embeddings[1, 9:], text.token_embedding.weight[after])
    assert prompts.context.shape == (6, 4, 128)


def test_context_is_drawn_from_a_narrow_normal_by_its_own_generator(text):
    state = torch.get_rng_state()
    one = PromptLearner(200, text, generator=torch.Generator().manual_seed(5)).context
    two = PromptLearner(200, text, generator=torch.Generator().manual_seed(5)).context
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), state)
    assert one.std().item() == pytest.approx(0.02, rel=0.02) and abs(one.mean().item()) < 1e-3


def test_cut_context_gives_the_full_contexts_features_and_gradients(text, prompts):
    text.double()
    prompts.double()
    proxies = torch.tensor([0, 3, 3, 5])
    weight = torch.randn(4, 128, dtype=torch.float64)

    cut = prompts(proxies, text)
    (cut_grad,) = torch.autograd.grad((cut * weight).sum(), prompts.context)

    padding = text.token_embedding(torch.zeros(4, 77 - 12, dtype=torch.int64))
    full = text.encode(torch.cat([prompts.embeddings(proxies), padding], dim=1), end_of_text=11)
    (full_grad,) = torch.autograd.grad((full * weight).sum(), prompts.context)

    torch.testing.assert_close(cut, full, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(cut_grad, full_grad, rtol=1e-6, atol=1e-6)
    assert full_grad[[0, 3, 5]].abs().sum(dim=(1, 2)).min() > 0 and full_grad[[1, 2, 4]].abs().max() == 0


def test_features_are_open_clips(build_tiny):
    """The whole encoder against open_clip's own ``encode_text`` of the same weights."""
    import open_clip

    from ccafl_plugin.models.clip import TINY

    torch.manual_seed(2)
    clip = open_clip.CLIP(**TINY).eval()
    tokens = open_clip.tokenize(["a photo of a dog", "A photo of a X X X X person.", ""])
    expected = clip.encode_text(tokens)
    got = TextEncoder(clip)(tokens)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_a_learned_context_of_words_is_the_text_itself(text):
    import open_clip

    prompts = PromptLearner(1, text)
    with torch.no_grad():
        prompts.context[0] = text.token_embedding(open_clip.tokenize(["tall young dark haired"])[0, 1:5])
        expected = text(open_clip.tokenize(["A photo of a tall young dark haired person."]))
        torch.testing.assert_close(prompts(torch.tensor([0]), text), expected, rtol=1e-5, atol=1e-5)


def test_each_proxy_is_encoded_once(text, prompts, monkeypatch):
    sizes = []
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, x, **kw: sizes.append(len(x)) or encode(self, x, **kw))
    features = prompts(torch.tensor([2, 5, 2, 2]), text)
    assert sizes == [2]
    assert torch.equal(features[0], features[2]) and torch.equal(features[0], features[3])
    assert not torch.equal(features[0], features[1])


def test_all_features(text, prompts):
    every = prompts.all_features(text, chunk=4)
    assert every.shape == (6, 128) and not every.requires_grad
    torch.testing.assert_close(every, prompts(torch.arange(6), text).detach(), rtol=1e-5, atol=1e-5)


def test_only_the_context_learns(text, prompts):
    prompts(torch.tensor([0]), text).sum().backward()
    assert [name for name, _ in prompts.named_parameters()] == ["context"]
    assert list(prompts.state_dict()) == ["context"]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in text.parameters())


def test_bfloat16_autocast_is_near_float32(text, prompts):
    proxies = torch.arange(6)
    exact = prompts(proxies, text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = prompts(proxies, text)
    rough.float().sum().backward()
    assert torch.nn.functional.cosine_similarity(exact, rough.float()).min() > 0.99
    assert prompts.context.grad.isfinite().all()


@pytest.mark.parametrize(
    ("length", "fault"),
    [(0, "0 is out of range, it must be at least 1"), (70, "has 78, but CLIP reads 77. Choose 1 to 69.")],
)
def test_impossible_prompt_lengths(text, length, fault):
    with pytest.raises(CCAFLError, match=fault) as error:
        check_prompt_length(length)
    assert "\n" not in str(error.value)
    with pytest.raises(CCAFLError):
        PromptLearner(2, text, prompt_length=length)


@pytest.mark.parametrize("length", [1, 69])
def test_extreme_prompt_lengths(text, length):
    assert PromptLearner(2, text, prompt_length=length)(torch.tensor([1]), text).shape == (1, 128)


def test_too_many_tokens(text):
    with pytest.raises(CCAFLError, match="78 tokens"):
        text.encode(torch.zeros(1, 78, 128), end_of_text=3)
