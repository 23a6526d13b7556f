"""The registry of terms and the order in which they run."""

from __future__ import annotations

import inspect

import pytest
import torch

from ccafl_plugin.config import default_config
from ccafl_plugin.config.arguments import make_terms
from ccafl_plugin.losses import ICALLoss, ICDLLoss, InterCameraLoss
from ccafl_plugin.terms import PAPER_TERMS, TERMS, Batch, EpochState, Term, order_by_needs, register_term
from ccafl_plugin.utils.errors import CCAFLError


@pytest.mark.parametrize("name", TERMS)
def test_every_term_can_be_built_from_the_config(name: str) -> None:
    config = default_config()
    for other in TERMS:
        config.ccafl.terms[other].enabled = other == name
    (term,) = make_terms(config)
    assert type(term) is TERMS[name]
    documented = inspect.getdoc(TERMS[name])
    for argument in set(config.ccafl.terms[name]) - {"enabled"}:
        assert argument in documented


@pytest.mark.parametrize(("name", "loss"), [("icdl", ICDLLoss), ("inter", InterCameraLoss), ("ical", ICALLoss)])
def test_a_setting_has_one_name_in_term_and_loss(name: str, loss: type) -> None:
    term = inspect.signature(TERMS[name]).parameters
    for argument, parameter in inspect.signature(loss).parameters.items():
        assert term[argument].default == parameter.default


def test_the_papers_terms_are_the_default() -> None:
    assert {term.name for term in make_terms(default_config())} == set(PAPER_TERMS)


def test_windows_include_both_ends() -> None:
    term = Term(first_epoch=2, last_epoch=4)
    assert [epoch for epoch in range(8) if term.is_active(epoch)] == [2, 3, 4] == list(term.window(8))
    assert list(term.window(4)) == [2, 3]
    assert list(Term(first_epoch=5).window(7)) == [5, 6]


def test_needed_terms_come_first() -> None:
    terms = [TERMS["ical"](), TERMS["icdl"](), TERMS["proxy_classifier"]()]
    assert [term.name for term in order_by_needs(terms)] == ["proxy_classifier", "ical", "icdl"]


def test_wrong_sets_of_terms() -> None:
    with pytest.raises(CCAFLError, match="Two terms have the same name"):
        order_by_needs([TERMS["icdl"](), TERMS["icdl"]()])

    class First(Term):
        name = "first"
        needs = ("second",)

    class Second(Term):
        name = "second"
        needs = ("first",)

    with pytest.raises(CCAFLError, match="first -> second -> first need each other"):
        order_by_needs([First(), Second()])


def test_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccafl_plugin.terms.term.TERMS", dict(TERMS))
    with pytest.raises(CCAFLError, match="needs the class attribute 'name'"):
        register_term(type("Nameless", (Term,), {}))
    with pytest.raises(CCAFLError, match="'icdl' is already registered: ICDLTerm"):
        register_term(type("Other", (Term,), {"name": "icdl"}))
    assert register_term(TERMS["icdl"]) is TERMS["icdl"]


@pytest.mark.parametrize(
    ("name", "declares"),
    [("features", "needs_features"), ("pseudo_of_proxy", "needs_association"), ("text", "needs_text")],
)
def test_a_term_reads_what_it_has_asked_for(name: str, declares: str) -> None:
    value = torch.zeros(3, 2)
    assert getattr(EpochState(epoch=1, proxies=torch.arange(3), seed=1, **{name: value}), name) is value
    nothing = EpochState(epoch=1, proxies=torch.arange(3), seed=1)
    with pytest.raises(CCAFLError, match=rf"^EpochState\.{name} was not computed[^\n]* must set {declares} to True\.$"):
        getattr(nothing, name)
    assert hasattr(Term, declares)


def test_what_a_term_sees_of_a_batch() -> None:
    """The documented names; labels come to the features and stay on the host, too."""
    features, labels = torch.zeros(3, 2, device="meta"), torch.arange(3)
    batch = Batch((features,), features, None, (), labels, labels + 1)
    seen = {name for name in dir(batch) if not name.startswith("_")}
    assert seen == {"raw", "features", "embeddings", "logits", "proxies", "classes", "proxies_on_host"}
    assert batch.proxies.is_meta and batch.classes.is_meta
    assert batch.proxies_on_host() is labels
    on_cpu = Batch((features,), torch.zeros(3, 2), None, (), labels, labels)
    assert on_cpu.proxies is labels
