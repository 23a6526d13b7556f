"""Builds the data manager, the model and the engine from a checked configuration."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torchreid
from torch import nn
from yacs.config import CfgNode

from ccafl_plugin.config import arguments
from ccafl_plugin.data.dataset_checks import check_queries
from ccafl_plugin.data.label_noise import LabelNoise
from ccafl_plugin.data.list_check import check_batches, check_classes, check_labels, left_out_lines
from ccafl_plugin.data.loaders import loader_of_images
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.data.whole_files import check_readable
from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.effective_settings import EffectiveSettings, effective_settings_of
from ccafl_plugin.engine.model_outputs import try_out
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.integration.data_manager import damage_training_set
from ccafl_plugin.models import is_clip
from ccafl_plugin.models.folded_norms import ENOUGH_IMAGES, are_folded, restore
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.runs.data_report import nothing_twice
from ccafl_plugin.runs.dataset_door import named_datasets
from ccafl_plugin.runs.described_weights import compare_with_description
from ccafl_plugin.runs.published_settings import compare_with_published
from ccafl_plugin.runs.resuming import check_settings
from ccafl_plugin.runs.torchreid_engines import SoftmaxEngine, TripletEngine
from ccafl_plugin.utils.distributed import num_processes
from ccafl_plugin.utils.errors import CCAFLError, unknown_name


def build_data_manager(config: CfgNode) -> Any:
    """Builds torchreid's data manager, and checks its lists and files before a model is built.

    Raises:
        CCAFLError: data that torchreid can't read or would misread, labels or sizes with which training fails later,
            images that can't be read, or a test without any match.
    """
    with named_datasets(), nothing_twice(len(config.data.sources)):
        datamanager = torchreid.data.ImageDataManager(**arguments.data_manager_arguments(config))
    noise = LabelNoise(**config.ccafl.label_noise)
    damage_training_set(datamanager, noise, config.train.seed, arguments.sampler_arguments(config))
    _check_training(config, datamanager)
    for name, sets in datamanager.test_dataset.items():
        check_labels([], sets["query"], sets["gallery"], name)
        check_queries(name, sets["query"], sets["gallery"])
        if config.test.evaluate and not sets["query"] and not config.ccafl.data.pairs:
            raise CCAFLError(
                f"test.evaluate: {name} has no query and gallery. Set ccafl.data.queries to a file of labelled images, "
                "or ccafl.data.pairs to one of pairs, or name another dataset with -t."
            )
    _check_images(config, datamanager)
    return datamanager


def _check_training(config: CfgNode, datamanager: Any) -> None:
    """Checks labels and sizes of the training list."""
    loader = datamanager.train_loader
    train = loader.dataset.train
    check_labels(train, [], [], ", ".join(config.data.sources))
    if config.test.evaluate:
        return
    check_batches(train, len(loader), config.train.batch_size)
    if config.loss.name != "ccafl":
        check_classes(train, datamanager.num_train_pids, config.loss.name)


def _check_images(config: CfgNode, datamanager: Any) -> None:
    """Checks that images can be read, and prints what was left out."""
    datasets = {name: loaders["query"].dataset for name, loaders in datamanager.test_loader.items()}
    if len(config.data.sources) == 1:  # torchreid's sum of several keeps the first one's query and gallery
        datasets[config.data.sources[0]] = datamanager.train_loader.dataset
    if not config.test.evaluate:
        check_readable([entry[0] for entry in datamanager.train_loader.dataset.train], ", ".join(config.data.sources))
    for name, sets in datamanager.test_dataset.items():
        check_readable([entry[0] for part in ("query", "gallery") for entry in sets[part]], name)
    for name, dataset in datasets.items():
        if not getattr(dataset, "is_own", False):  # these say it in their table
            for line in left_out_lines(name, [dataset.train, dataset.query, dataset.gallery]):
                print(line)


def build_model(config: CfgNode, datamanager: Any, to_train: bool = True) -> nn.Module:
    """Builds the model with its weights, on its device: the process's own GPU, or the CPU.

    Args:
        config: a checked configuration.
        datamanager: of :func:`build_data_manager`.
        to_train: whether the model may be trained, if the configuration trains.
    """
    ccafl = config.loss.name == "ccafl"
    clip = is_clip(config.model.name)
    loss = config.loss.name if not ccafl or clip else "triplet"
    classes = datamanager.num_train_pids
    if ccafl:
        labels = ProxyLabels.from_tuples(datamanager.train_loader.dataset.train)
        classes = Supervision(config.ccafl.supervision).num_classes(labels)
    device = torch.device("cuda" if config.use_gpu and torch.cuda.is_available() else "cpu")
    print(f"Building model: {config.model.name}")
    try:
        model = torchreid.models.build_model(
            name=config.model.name,
            num_classes=classes,
            loss=loss,
            pretrained=config.model.pretrained,
            use_gpu=device.type == "cuda",
        ).to(device)
    except CCAFLError:
        raise
    except Exception as error:
        # Downloads can raise many errors (gdown has its own). Without a download, an error is one of the program.
        if not isinstance(error, OSError) and (clip or not config.model.pretrained):
            raise
        raise CCAFLError(
            f"model.pretrained: could not load the weights of {config.model.name} ({error}). Download them with "
            "a network connection, or set model.pretrained False."
        ) from error
    if not clip:
        _check_pretrained(config, model)
        try_out(model, config.data.height, config.data.width, config.model.name)
    if ccafl and clip and config.ccafl.terms.softmax.enabled:
        model.make_classifier(classes)
    parameters, flops = torchreid.utils.compute_model_complexity(model, (1, 3, config.data.height, config.data.width))
    print(f"Model complexity: params={parameters:,} flops={flops:,}")
    _check_layers(config, model)
    if config.model.load_weights:
        compare_with_description(config)
        load_weights(model, config.model.load_weights)
        _restore_norms(config, datamanager, model, to_train)
    if config.ccafl.compile:
        model.compile_image_encoder()
    print_other_gpus(device)
    return model


def print_other_gpus(device: torch.device) -> None:
    """Prints how to use all GPUs, if a run of one process has several."""
    if device.type == "cuda" and torch.cuda.device_count() > 1 and num_processes() == 1:
        print(
            f"{torch.cuda.device_count()} GPUs are visible, and this run uses one. To use all: torchrun "
            f"--nproc_per_node={torch.cuda.device_count()} tools/train.py with the same arguments (docs/scaling.md)."
        )


def _restore_norms(config: CfgNode, datamanager: Any, model: nn.Module, to_train: bool) -> None:
    """Gives folded batch norms the statistics of training images, evenly over the list; no label is read."""
    goes_on = config.model.resume or config.ccafl.branch_from
    trains = to_train and config.train.max_epoch > 0 and not config.test.evaluate
    if goes_on or not trains or not are_folded(model):
        return
    train = datamanager.train_loader.dataset.train
    paths = [entry[0] for entry in train[:: -(-len(train) // ENOUGH_IMAGES)]]
    restore(model, (batch["img"] for batch in loader_of_images(datamanager, paths, config.test.batch_size)))
    print(
        f"The batch norms of {config.model.load_weights} were folded into its layers. They have the statistics of "
        f"{len(paths)} training images now, so that training goes on from the features of this file."
    )


def _check_pretrained(config: CfgNode, model: nn.Module) -> None:
    """Refuses random weights where pretrained ones were asked for: torchreid says at most a warning."""
    given = config.model.load_weights or config.model.resume
    if config.model.pretrained and not given and not hasattr(model, "imagenet_file"):
        raise CCAFLError(
            f"model.pretrained: torchreid has no ImageNet weights of {config.model.name} that can be downloaded; set "
            "model.pretrained False for random weights, or name a file of your own in model.load_weights."
        )


def _check_layers(config: CfgNode, model: nn.Module) -> None:
    """Refuses the name of a layer that the model does not have; torchreid would train all layers alike."""
    train = config.train
    named = {"train.open_layers": train.fixbase_epoch > 0, "train.new_layers": train.staged_lr}
    layers = [name for name, _ in model.named_children()]
    for key in [key for key, used in named.items() if used]:
        for name in train[key.removeprefix("train.")]:
            if name not in layers:
                raise unknown_name(key, name, layers)


def build_engine(config: CfgNode, datamanager: Any, model: nn.Module, optimizer: Any, scheduler: Any) -> Any:
    """Builds CCAFL's engine, or torchreid's own engine for torchreid's losses; both store scores and history."""
    if config.loss.name == "ccafl":
        return ImageCCAFLEngine(
            datamanager, model, optimizer, scheduler=scheduler, **arguments.engine_arguments(config)
        )
    common = {
        "scheduler": scheduler,
        "use_gpu": config.use_gpu,
        "label_smooth": config.loss.softmax.label_smooth,
    }
    if config.loss.name == "softmax":
        return SoftmaxEngine(datamanager, model, optimizer, **common)
    triplet = config.loss.triplet
    return TripletEngine(
        datamanager,
        model,
        optimizer,
        margin=triplet.margin,
        weight_t=triplet.weight_t,
        weight_x=triplet.weight_x,
        **common,
    )


def effective_settings(config: CfgNode, engine: Any) -> EffectiveSettings:
    """The settings with which the engine trains, compared with the published settings that the configuration claims."""
    own, published = effective_settings_of(engine), compare_with_published(config)
    return own if published is None else own.compared(*published)


def resume(config: CfgNode, engine: Any, model: nn.Module, optimizer: Any, scheduler: Any) -> int:
    """Loads a checkpoint and returns the next epoch."""
    if config.loss.name == "ccafl":
        check = functools.partial(check_settings, config)
        return engine.resume(config.model.resume, to_train=not config.test.evaluate, check=check)
    return torchreid.utils.resume_from_checkpoint(config.model.resume, model, optimizer=optimizer, scheduler=scheduler)
