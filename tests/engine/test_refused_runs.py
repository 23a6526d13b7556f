"""Terms, epochs, samplers and data with which a run cannot work: what is said before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchreid

from ccafl_plugin.engine import PromptStage
from ccafl_plugin.terms import TERMS
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import make_engine, make_manager, make_terms, write_pictures


def test_windows_that_cannot_work(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gap = make_engine(pictures, terms=make_terms({"icdl": (0, 1), "inter": (3, -1)}))
    with pytest.raises(CCAFLError, match=r"^No term is active in epoch 2 of 4 "):
        gap.run(save_dir=str(tmp_path), max_epoch=4)
    early = make_engine(pictures, terms=make_terms({"icdl": (0, -1), "proxy_classifier": (1, -1), "ical": (0, -1)}))
    with pytest.raises(CCAFLError, match=r"^ccafl\.terms\.proxy_classifier\.first_epoch: 1 is later .* 'ical' "):
        early.run(save_dir=str(tmp_path), max_epoch=4)
    gap.run(save_dir=str(tmp_path), max_epoch=5, start_epoch=3)
    gap.run(save_dir=str(tmp_path), max_epoch=2)
    assert "The term 'inter' never becomes active: it starts in epoch 3" in capsys.readouterr().out


def test_several_views_of_an_image_are_refused(pictures: Path) -> None:
    with pytest.raises(CCAFLError, match=r"^k_tfm: ImageCCAFLEngine .* uses one view"):
        make_engine(pictures, make_manager(pictures, k_tfm=2))


def test_terms_that_cannot_work_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match="'ical' needs the term 'proxy_classifier'"):
        make_engine(pictures, terms=[TERMS["ical"]()])
    with pytest.raises(CCAFLError, match="'softmax' needs a classifier"):
        make_engine(pictures, terms=[TERMS["softmax"]()])
    with pytest.raises(CCAFLError, match=r"^terms: no term is enabled"):
        make_engine(pictures, terms=[])
    with pytest.raises(CCAFLError, match=r"^scope: .* Set supervision full, or scope camera\."):
        make_engine(pictures, stage1=PromptStage(scope="person"))
    with pytest.raises(CCAFLError, match="'IdentitySampler' reads identities across cameras"):
        make_engine(pictures, make_manager(pictures, train_sampler="IdentitySampler"))
    with pytest.raises(CCAFLError, match=r"the training set has one\. Set ccafl"):
        make_engine(write_pictures(tmp_path, identities=5, cameras=1), terms=make_terms({"inter": (0, -1)}))
    model = torchreid.models.build_model("osnet_x0_25", num_classes=1, loss="triplet", pretrained=False)
    with pytest.raises(CCAFLError, match=r"has no text encoder for prompts: set model\.name to one of clip_rn50"):
        type(make_engine(pictures))(make_manager(pictures), model, torch.optim.Adam(model.parameters()))
