"""Features of the training images, for the engine and for engines of others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchreid
from PIL import Image
from torchvision.transforms import Compose, Grayscale, Lambda, Normalize, Resize, ToTensor

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.extraction import TrainingImages, training_features
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import HEIGHT, WIDTH, assert_equal, make_engine, make_manager, make_terms, weights


@pytest.mark.parametrize("name", ["clip_tiny", "osnet_x0_25"])
def test_unit_rows_in_the_order_of_paths(pictures: Path, name: str) -> None:
    manager = make_manager(pictures, workers=0)
    labels = ProxyLabels.from_tuples(manager.train_loader.dataset.train)
    torch.manual_seed(0)
    with options.override(input_size=(HEIGHT, WIDTH)):
        model = torchreid.models.build_model(name, 3, loss="triplet", pretrained=False)
    model.train()
    features, proxies = training_features(manager, model, labels)
    assert model.training
    assert not features.requires_grad
    assert (features.dtype, proxies.dtype) == (torch.float32, torch.int64)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(labels.num_images))
    assert torch.equal(proxies, labels.proxy_of_image[labels.path_order])

    model.eval()
    for row in (0, 17, labels.num_images - 1):
        item = manager.train_loader.dataset.train[int(labels.path_order[row])]
        image = manager.transform_te(torchreid.utils.read_image(item[0]))
        with torch.no_grad():
            alone = model(image[None])[0]
        torch.testing.assert_close(features[row], alone / alone.norm(), rtol=1e-4, atol=1e-5)


def test_the_engine_starts_its_epochs_with_the_same(pictures: Path, tmp_path: Path) -> None:
    engine = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}, icdl={"weight_alignment": 0.0}))
    (term,) = engine.terms
    features, proxies = training_features(engine.datamanager, engine.model, engine.labels)
    engine.epoch_start(0, [term])
    filled = term.memory.centroids.clone()
    term.memory.fill(features, proxies)
    assert torch.equal(term.memory.centroids, filled)


def test_features_are_not_computed_in_tf32(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's default lets convolutions use it: in stage 1, in training, in a test, in a program's own extraction."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    engine = make_engine(pictures, terms=make_terms({"alignment": (0, -1)}))
    seen: list[bool] = []
    encoder = engine.model.image_encoder
    hook = encoder.register_forward_pre_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    engine.run(save_dir=str(tmp_path), test_only=True)
    training_features(engine.datamanager, engine.model, engine.labels)
    hook.remove()
    assert seen and not any(seen)
    assert torch.backends.cudnn.allow_tf32


def test_memories_of_torchreids_models_hold_unit_rows(pictures: Path) -> None:
    """torchreid's models give features of any length in eval mode."""
    manager = make_manager(pictures)
    model = torchreid.models.build_model("osnet_x0_25", 18, loss="triplet", pretrained=False)
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-3)
    terms = make_terms({"icdl": (0, -1), "inter": (0, -1)}, icdl={"weight_alignment": 0.0})
    engine = torchreid.engine.ImageCCAFLEngine(manager, model, optimizer, terms=terms, use_gpu=False)
    engine.epoch_start(0, engine.terms)
    memories = {term.name: term.memory for term in engine.terms}
    for rows in (memories["icdl"].instances.flatten(0, 1), memories["icdl"].centroids, memories["inter"].centroids):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))


def counted(images: TrainingImages) -> list[int]:
    """Grows by one with every picture that is read."""
    reads: list[int] = []
    original = images.loader.dataset.transform
    images.loader.dataset.transform = lambda picture: reads.append(1) or original(picture)
    return reads


def pixels(images: TrainingImages) -> torch.Tensor:
    return images.encode(lambda batch: batch.flatten(1), torch.device("cpu"))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("memory", "passes"), [(0, 3), (1, 1)])
def test_images_stay_in_memory_if_they_fit(pictures: Path, workers: int, memory: int, passes: int) -> None:
    manager = make_manager(pictures, workers=workers)
    labels = ProxyLabels.from_tuples(manager.train_loader.dataset.train)
    images = TrainingImages(manager, labels, memory)
    expected = torch.stack(
        [
            manager.transform_te(torchreid.utils.read_image(manager.train_loader.dataset.train[i][0])).flatten()
            for i in labels.path_order.tolist()
        ]
    )
    reads = counted(images)
    for _ in range(3):
        assert torch.equal(pixels(images), expected)
    if workers == 0:  # a worker counts in a process of its own
        assert len(reads) == passes * labels.num_images


def test_images_that_take_a_byte_too_much_are_read_anew(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = make_manager(pictures, batch_size_test=7)  # which doesn't divide the number of images
    labels = ProxyLabels.from_tuples(manager.train_loader.dataset.train)
    size = labels.num_images * 3 * HEIGHT * WIDTH
    for unit, passes in ((size, 1), (size - 1, 2)):
        monkeypatch.setattr("ccafl_plugin.engine.extraction.MB", unit)
        images = TrainingImages(manager, labels, memory=1)
        reads = counted(images)
        assert torch.equal(pixels(images), pixels(images))
        assert len(reads) == passes * labels.num_images


def test_a_pass_that_breaks_off_keeps_nothing(pictures: Path) -> None:
    manager = make_manager(pictures)
    labels = ProxyLabels.from_tuples(manager.train_loader.dataset.train)
    images = TrainingImages(manager, labels, memory=1)
    calls: list[int] = []

    def fails_later(batch: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return batch.flatten(1)

    with pytest.raises(RuntimeError, match="out of memory"):
        images.encode(fails_later, torch.device("cpu"))
    assert len(pixels(images)) == labels.num_images


def test_other_test_transforms_stay_whole(pictures: Path) -> None:
    """A step between ToTensor and Normalize may need a picture of its own."""
    manager = make_manager(pictures)
    resize, to_tensor, normalize = manager.transform_te.transforms
    manager.transform_te = Compose([resize, to_tensor, Lambda(lambda x: x - x.mean()), normalize])
    labels = ProxyLabels.from_tuples(manager.train_loader.dataset.train)
    images = TrainingImages(manager, labels, memory=1)
    reads = counted(images)
    first, second = pixels(images), pixels(images)
    path = manager.train_loader.dataset.train[int(labels.path_order[4])][0]
    assert torch.equal(first[4], manager.transform_te(torchreid.utils.read_image(path)).flatten())
    assert torch.equal(first, second) and len(reads) == 2 * labels.num_images


def test_training_reads_files_if_the_test_transform_does_more_than_resize(pictures: Path) -> None:
    """Training would get what the further step makes of a picture."""
    manager = make_manager(pictures)
    resize, *rest = manager.transform_te.transforms
    manager.transform_te = Compose([resize, Grayscale(3), *rest])
    images = TrainingImages(manager, ProxyLabels.from_tuples(manager.train_loader.dataset.train), memory=1)
    training = manager.train_loader.dataset.transform
    training.transforms = [step for step in training.transforms if isinstance(step, (Resize, ToTensor, Normalize))]
    before = manager.train_loader.dataset[0]["img"]
    pixels(images)
    with images.served_to_training():
        assert torch.equal(manager.train_loader.dataset[0]["img"], before)


def test_a_deviation_of_0_is_refused(pictures: Path) -> None:
    manager = make_manager(pictures)
    manager.transform_te.transforms[-1] = Normalize([0.5] * 3, [0.2, 0.0, 0.2])
    with pytest.raises(CCAFLError, match=r"^data\.norm_std: a standard deviation must not be 0"):
        TrainingImages(manager, ProxyLabels.from_tuples(manager.train_loader.dataset.train))


def files_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the pictures that this process opens from now on."""
    seen: list[str] = []
    original = Image.open
    monkeypatch.setattr(
        Image, "open", lambda path, *rest, **how: seen.append(str(path)) or original(path, *rest, **how)
    )
    return seen


@pytest.mark.parametrize("workers", [0, 1])
def test_training_from_memory_is_training_from_files(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Pictures of another size than the files', with every random transform."""
    transforms = ["bicubic_resize", "random_flip", "pad_crop", "color_jitter", "random_patch", "random_erase"]
    found = {}
    for memory in (0, 1):
        manager = make_manager(pictures, height=48, width=24, workers=workers, transforms=transforms)
        engine = make_engine(pictures, manager, extraction_memory=memory)
        with monkeypatch.context() as patch:
            opened = files_opened(patch)
            engine.run(save_dir=str(tmp_path / str(memory)), max_epoch=3)
        found[memory] = weights(engine)
        trained_on = [path for path in opened if "bounding_box_train" in path]
        if workers == 0 and memory:
            assert len(trained_on) == engine.labels.num_images
        if workers == 0 and not memory:  # stage 1, three epochs' starts, 3 x 2 batches of 8
            assert len(trained_on) == 4 * engine.labels.num_images + 6 * 8
    assert_equal(found[0], found[1])


@pytest.mark.parametrize("step", [Resize((48, 24)), Resize((64, 32), interpolation=0), Resize(64), Lambda(lambda x: x)])
def test_training_that_resizes_otherwise_reads_files(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, step: object
) -> None:
    manager = make_manager(pictures)
    manager.train_loader.dataset.transform.transforms[0] = step
    labels = ProxyLabels.from_tuples(manager.train_loader.dataset.train)
    images = TrainingImages(manager, labels, memory=1)
    pixels(images)
    opened = files_opened(monkeypatch)
    with images.served_to_training():
        manager.train_loader.dataset[0]
    assert len(opened) == 1
