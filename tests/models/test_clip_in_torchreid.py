"""torchreid's own engines and tools take the models as they are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin.models import build_clip
from ccafl_plugin.options import options

FACTORY = vars(torchreid.models)["__model_factory"]
IMAGE_SIZE = (64, 32)


@pytest.fixture
def registered(monkeypatch):
    """clip_tiny in torchreid's ``build_model``, registered by hand."""
    monkeypatch.setitem(FACTORY, "tiny_under_test", lambda **kwargs: build_clip("clip_tiny", **kwargs))
    options.update(input_size=IMAGE_SIZE)
    torch.manual_seed(0)
    return "tiny_under_test"


def batch(people: list[int], camera: int, seed: int) -> dict:
    """What torchreid's data loader hands over: each person has a pattern of his own, under noise."""
    patterns = torch.randn(8, 3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(len(people), 3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(seed))
    return {
        "img": patterns[people] + 0.5 * noise,
        "pid": torch.tensor(people),
        "camid": torch.full((len(people),), camera),
        "impath": [f"{person}_{seed}.jpg" for person in people],
        "dsetid": torch.zeros(len(people), dtype=torch.int64),
    }


def data_manager() -> SimpleNamespace:
    everyone = list(range(4))
    return SimpleNamespace(
        num_train_pids=4,
        sources=["made_up"],
        train_loader=[batch(everyone * 2, camera=0, seed=seed) for seed in range(6)],
        test_loader={"made_up": {"query": [batch(everyone, 0, 100)], "gallery": [batch(everyone, 1, 101)]}},
    )


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(
    ("loss", "engine_name"), [("softmax", "ImageSoftmaxEngine"), ("triplet", "ImageTripletEngine")]
)
def test_engines_train_evaluate_and_save(registered, tmp_path, loss, engine_name, parallel):
    model = torchreid.models.build_model(registered, num_classes=4, loss=loss, pretrained=False, use_gpu=False)
    if parallel:
        model = nn.DataParallel(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=1e-3)
    engine = getattr(torchreid.engine, engine_name)(
        data_manager(),
        model,
        optimizer,
        scheduler=torchreid.optim.build_lr_scheduler(optimizer, stepsize=10),
        use_gpu=False,
    )
    engine.run(str(tmp_path), max_epoch=4, print_freq=6, fixbase_epoch=1, open_layers=["classifier"], ranks=[1, 2])
    assert engine.test(ranks=[1, 2]) == 1.0

    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    for name in ("classifier.weight", "visual.conv1.weight", "gem.p", "neck.weight", "neck.running_mean"):
        assert any(key.endswith(name) for key in changed), name
    checkpoint = torch.load(tmp_path / "model" / "model.pth.tar-4", weights_only=False)
    other = torchreid.models.build_model(registered, num_classes=4, loss=loss, pretrained=False, use_gpu=False)
    other.load_state_dict({key.removeprefix("module."): value for key, value in checkpoint["state_dict"].items()})
    images = data_manager().test_loader["made_up"]["query"][0]["img"]
    assert torch.equal(other.eval()(images), model.eval()(images))


def test_feature_extractor(registered, tmp_path):
    source = torchreid.models.build_model(registered, num_classes=9, loss="softmax", pretrained=False).eval()
    torch.save({"state_dict": source.state_dict()}, tmp_path / "checkpoint.pth")
    extractor = torchreid.utils.FeatureExtractor(
        model_name=registered,
        model_path=str(tmp_path / "checkpoint.pth"),
        image_size=IMAGE_SIZE,
        device="cpu",
    )
    image = np.random.default_rng(0).integers(0, 256, (*IMAGE_SIZE, 3), dtype=np.uint8)
    features = extractor([image, image])
    assert features.shape == (2, 512)
    pixels = torch.from_numpy(image).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(features[:1], source(((pixels - mean) / std).unsqueeze(0)), rtol=1e-4, atol=1e-5)


def test_feature_extractor_takes_a_checkpoint_of_its_images_size(registered, tmp_path):
    """Its complexity count runs first and shows the model the size, so torchreid drops no positional embedding."""
    with options.override(input_size=(96, 48)):
        source = torchreid.models.build_model(registered, num_classes=9, loss="softmax", pretrained=False).eval()
    torch.save(source.state_dict(), tmp_path / "checkpoint.pth")
    extractor = torchreid.utils.FeatureExtractor(registered, str(tmp_path / "checkpoint.pth"), (96, 48), device="cpu")
    images = torch.randn(2, 3, 96, 48)
    assert torch.equal(extractor.model.image_embedding(images), source.image_embedding(images))


def test_complexity_counter_sees_the_image_encoder_only(registered):
    model = torchreid.models.build_model(registered, num_classes=4, loss="softmax", pretrained=False)
    parameters, flops = torchreid.utils.compute_model_complexity(model, (1, 3, *IMAGE_SIZE))
    convolutions = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d))
    assert convolutions <= parameters < sum(parameter.numel() for parameter in model.parameters())
    assert flops > 1e6
    assert model.training
    loss = model(torch.randn(2, 3, *IMAGE_SIZE)).sum()
    loss.backward()


def test_open_all_layers_reaches_no_bias_of_the_neck_and_no_text(registered):
    model = torchreid.models.build_model(registered, num_classes=4, loss="softmax", pretrained=False)
    torchreid.utils.open_all_layers(model)
    assert model.neck.bias is None
    assert not any(parameter.requires_grad for parameter in model.text_encoder.parameters())
