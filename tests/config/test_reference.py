"""The page of all keys: every key has a sentence, and the page is what the code says."""

from __future__ import annotations

from pathlib import Path

from ccafl_plugin.config import default_config
from ccafl_plugin.config.key_sentences import SENTENCES
from ccafl_plugin.config.reference import allowed_values, argument_sentences, key_sentences, page
from ccafl_plugin.utils.trees import leaves

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_no_key_is_without_a_sentence() -> None:
    sentences = key_sentences()
    assert list(sentences) == [key for key, _ in leaves(default_config())]
    assert not [key for key, sentence in sentences.items() if len(sentence) < 10 and key not in SENTENCES]
    assert not [key for key, sentence in sentences.items() if not sentence]
    assert not set(SENTENCES) - set(sentences)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/configuration_page.py --write"


def test_sentences_of_a_docstring() -> None:
    class Owner:
        """Something.

        Args:
            rate, margin: of :class:`~a.b.Loss`; ``x`` or
                y.
            weight: 0.5 in the paper.

        Returns:
            nothing: at all.
        """

    assert argument_sentences(Owner) == {
        "rate": "rate of Loss; `x` or y",
        "margin": "margin of Loss; `x` or y",
        "weight": "weight, 0.5 in the paper",
    }
    assert argument_sentences(object()) == {}


def test_allowed_values_are_those_of_the_checks() -> None:
    assert allowed_values("ccafl.precision", "fp16") == "`fp32`, `fp16`, `bf16`"
    assert allowed_values("ccafl.terms.icdl.temperature", 0.05) == "number, above 0"
    assert allowed_values("ccafl.label_noise.wrong", 0.0) == "number, at least 0 and at most 1"
    assert allowed_values("use_gpu", True) == "`True`, `False`"
    assert allowed_values("data.root", "x") == "word or path"
