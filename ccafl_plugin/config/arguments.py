"""Converts the configuration to plain arguments. Classes get only these arguments and never read the configuration."""

from __future__ import annotations

from typing import Any

from yacs.config import CfgNode

from ccafl_plugin.config.tree import OF_ENGINE, OF_OPTIONS, OF_OWN_DATA, OF_SYNTHETIC, OF_TESTS
from ccafl_plugin.engine.stage1 import PromptStage
from ccafl_plugin.own_settings import CropRules, OwnData
from ccafl_plugin.terms import TERMS, Term


def option_values(config: CfgNode) -> dict[str, Any]:
    """For ``ccafl_plugin.options.options.update``."""
    ccafl = config.ccafl
    return {
        "seed": config.train.seed,
        "bias_lr_for_all_models": config.loss.name == "ccafl",
        "input_size": (config.data.height, config.data.width),
        **{name: ccafl[name] for name in OF_OPTIONS},
        **{f"synthetic_{name}": ccafl.synthetic[name] for name in OF_SYNTHETIC},
        **{name: config.test[name] for name in OF_TESTS},
        "own_data": own_data(config),
    }


def own_data(config: CfgNode) -> OwnData:
    """How data of one's own are named and labelled; training by terms needs cameras."""
    given = {name: config.ccafl.data[name] for name in OF_OWN_DATA}
    without_cameras = config.loss.name != "ccafl" or config.ccafl.supervision == "full"
    return OwnData(**given, needs_cameras=not without_cameras, crops=CropRules(**config.ccafl.data.crops))


def data_manager_arguments(config: CfgNode) -> dict[str, Any]:
    """For torchreid's ``ImageDataManager``."""
    data, sampler = config.data, config.sampler
    return {
        "root": data.root,
        "sources": list(data.sources),
        "targets": list(data.targets),
        "height": data.height,
        "width": data.width,
        "transforms": list(data.transforms),
        "k_tfm": data.k_tfm,
        "norm_mean": list(data.norm_mean),
        "norm_std": list(data.norm_std),
        "use_gpu": config.use_gpu,
        "split_id": data.split_id,
        "combineall": data.combineall,
        "load_train_targets": data.load_train_targets,
        "batch_size_train": config.train.batch_size,
        "batch_size_test": config.test.batch_size,
        "workers": data.workers,
        "num_instances": sampler.num_instances,
        "num_cams": sampler.num_cams,
        "num_datasets": sampler.num_datasets,
        "train_sampler": sampler.train_sampler,
        "train_sampler_t": sampler.train_sampler_t,
        "cuhk03_labeled": config.cuhk03.labeled_images,
        "cuhk03_classic_split": config.cuhk03.classic_split,
        "market1501_500k": config.market1501.use_500k_distractors,
    }


def sampler_arguments(config: CfgNode) -> dict[str, Any]:
    """For torchreid's ``build_train_sampler``, beside the training list."""
    sampler = config.sampler
    return {
        "train_sampler": sampler.train_sampler,
        "batch_size": config.train.batch_size,
        "num_instances": sampler.num_instances,
        "num_cams": sampler.num_cams,
        "num_datasets": sampler.num_datasets,
    }


def optimizer_arguments(config: CfgNode) -> dict[str, Any]:
    """For torchreid's ``build_optimizer``."""
    train = config.train
    return {
        "optim": train.optim,
        "lr": train.lr,
        "weight_decay": train.weight_decay,
        "momentum": config.sgd.momentum,
        "sgd_dampening": config.sgd.dampening,
        "sgd_nesterov": config.sgd.nesterov,
        "rmsprop_alpha": config.rmsprop.alpha,
        "adam_beta1": config.adam.beta1,
        "adam_beta2": config.adam.beta2,
        "staged_lr": train.staged_lr,
        "new_layers": list(train.new_layers),
        "base_lr_mult": train.base_lr_mult,
    }


def scheduler_arguments(config: CfgNode) -> dict[str, Any]:
    """For torchreid's ``build_lr_scheduler``."""
    train = config.train
    return {
        "lr_scheduler": train.lr_scheduler,
        "stepsize": list(train.stepsize),
        "gamma": train.gamma,
        "max_epoch": train.max_epoch,
    }


def run_arguments(config: CfgNode) -> dict[str, Any]:
    """For ``Engine.run``."""
    train, test = config.train, config.test
    return {
        "save_dir": config.data.save_dir,
        "max_epoch": train.max_epoch,
        "start_epoch": train.start_epoch,
        "fixbase_epoch": train.fixbase_epoch,
        "open_layers": list(train.open_layers),
        "start_eval": test.start_eval,
        "eval_freq": test.eval_freq,
        "test_only": test.evaluate,
        "print_freq": train.print_freq,
        "dist_metric": test.dist_metric,
        "normalize_feature": test.normalize_feature,
        "visrank": test.visrank,
        "visrank_topk": test.visrank_topk,
        "use_metric_cuhk03": config.cuhk03.use_metric_cuhk03,
        "ranks": list(test.ranks),
        "rerank": test.rerank,
    }


def make_terms(config: CfgNode) -> list[Term]:
    """The enabled terms."""
    terms = []
    for name, node in config.ccafl.terms.items():
        arguments = dict(node)
        if arguments.pop("enabled"):
            terms.append(TERMS[name](**arguments))
    return terms


def engine_arguments(config: CfgNode) -> dict[str, Any]:
    """For ``ImageCCAFLEngine``, beside data manager, model, optimizer and scheduler."""
    ccafl = config.ccafl
    return {
        "use_gpu": config.use_gpu,
        "terms": make_terms(config),
        "stage1": PromptStage(**ccafl.stage1),
        "association": ccafl.association.name,
        "association_options": dict(ccafl.association[ccafl.association.name]),
        "keep_unassociated": ccafl.association.keep_unassociated,
        "whitening": ccafl.association.whitening,
        **{name: ccafl[name] for name in OF_ENGINE},
        "ids": ccafl.data.ids,
        "keep_epochs": list(ccafl.keep_epochs),
        "seed": config.train.seed,
    }
