"""What ``import ccafl_plugin`` changes in torchreid, and that it changes nothing if anything is amiss."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import pytest
import torchreid

import ccafl_plugin
from ccafl_plugin.integration.changes import apply_all, new_item, set_attribute
from ccafl_plugin.integration.torchreid_layout import torchreid_module, uses
from tests.children import forget, in_child
from tests.layouts_torchreid import python

WRAPPED = [
    ("data.sampler", "build_train_sampler", ["data.datamanager"]),
    ("data.transforms", "build_transforms", ["data.datamanager"]),
    ("optim.optimizer", "build_optimizer", ["optim"]),
    ("optim.lr_scheduler", "build_lr_scheduler", ["optim"]),
    ("utils.tools", "read_image", ["utils", "data.datasets.dataset"]),
]


def test_the_plugins_names_are_where_torchreid_keeps_its_like():
    assert {"clip_rn50", "clip_vit_b16", "clip_tiny"} <= set(getattr(torchreid.models, "__model_factory"))
    samplers = {"ProxySampler", "IntraCameraSampler", "CameraBalancedSampler", "IdentitySampler"}
    assert samplers <= set(torchreid_module("data.sampler").AVAI_SAMPLERS)
    assert {"warmup_multi_step", "warmup_cosine"} <= set(torchreid_module("optim.lr_scheduler").AVAI_SCH)
    datasets = getattr(torchreid_module("data.datasets"), "__image_datasets")
    assert {"synthetic_persons", "msmt17_trainval"} <= set(datasets)
    assert issubclass(torchreid.engine.ImageCCAFLEngine, torchreid.engine.Engine)
    assert torchreid.losses.ICDLLoss.__name__ == "ICDLLoss"
    assert torchreid.losses.ICALLoss.__name__ == "ICALLoss"


@pytest.mark.parametrize(("module", "name", "importers"), WRAPPED)
def test_wrappers_stand_in_the_defining_module_and_wherever_it_was_imported_by_name(module, name, importers):
    wrapper = getattr(torchreid_module(module), name)
    assert wrapper.__module__ != torchreid_module(module).__name__ or hasattr(wrapper, "__wrapped__")
    for importer in importers:
        assert getattr(torchreid_module(importer), name) is wrapper
    if hasattr(wrapper, "__wrapped__"):
        assert wrapper.__name__ == name
        assert list(uses(wrapper.__wrapped__)) == []


def state() -> dict[str, Any]:
    """Every name of torchreid's modules, and the entries of lists, dicts and classes below them."""
    found: dict[str, Any] = {}
    for module_name, module in list(sys.modules.items()):
        if module is not None and module_name.partition(".")[0] == "torchreid":
            for name, value in vars(module).items():
                if name.startswith("__") and name not in ("__model_factory", "__image_datasets"):
                    continue
                found[f"{module_name}:{name}"] = id(value)
                if isinstance(value, list):
                    found[f"{module_name}:{name}[]"] = list(map(id, value))
                elif isinstance(value, dict):
                    found[f"{module_name}:{name}{{}}"] = {key: id(item) for key, item in value.items()}
                elif isinstance(value, type) and value.__module__.startswith("torchreid"):
                    found[f"{module_name}:{name}()"] = {key: id(item) for key, item in vars(value).items()}
    return found


def test_registering_again_changes_nothing():
    before = state()
    ccafl_plugin.register()
    importlib.reload(sys.modules["ccafl_plugin"])
    assert state() == before


# Each spoils one thing that the plugin relies on.
def without_a_module() -> None:
    module = torchreid_module("optim.lr_scheduler")
    sys.modules[module.__name__] = None  # type: ignore[assignment]


def without_the_list_of_samplers() -> None:
    del torchreid_module("data.sampler").AVAI_SAMPLERS


def with_a_tuple_of_schedulers() -> None:
    torchreid_module("optim.lr_scheduler").AVAI_SCH = ("single_step",)


def without_the_model_factory() -> None:
    delattr(torchreid_module("models"), "__model_factory")


def with_another_signature() -> None:
    def build_optimizer(network, rate):
        """Takes neither ``model`` nor ``lr``."""

    for module, name in list(uses(torchreid_module("optim").build_optimizer)):
        setattr(module, name, build_optimizer)


def with_a_data_manager_of_its_own() -> None:
    torchreid_module("data.datamanager").build_transforms = lambda *_, **__: None


def without_the_feature_extractor() -> None:
    del torchreid_module("utils.feature_extractor").FeatureExtractor


def without_the_dataset_registry() -> None:
    delattr(torchreid_module("data.datasets"), "__image_datasets")


def without_the_class_of_datasets() -> None:
    del torchreid_module("data").ImageDataset


def without_the_engine() -> None:
    del torchreid_module("engine").Engine


def with_an_engine_without_a_method() -> None:
    del torchreid_module("engine").Engine.update_lr


def with_the_datasets_name_taken() -> None:
    torchreid_module("data").register_image_dataset("synthetic_persons", object)


def with_the_engines_name_taken() -> None:
    torchreid_module("engine").ImageCCAFLEngine = object


def with_the_losses_name_taken() -> None:
    torchreid_module("losses").ICALLoss = object


class ReadOnly(dict):
    """A registry in which the last write fails, when everything before it is done."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("read-only")


def with_a_registry_that_refuses_writes() -> None:
    module = torchreid_module("data.datasets")
    setattr(module, "__image_datasets", ReadOnly(getattr(module, "__image_datasets")))


SPOILS = {
    without_a_module: "does not fit ccafl_plugin",
    without_the_list_of_samplers: "data.sampler has no AVAI_SAMPLERS",
    with_a_tuple_of_schedulers: "AVAI_SCH is not a list",
    without_the_model_factory: "models has no __model_factory",
    with_another_signature: "takes no model, lr, staged_lr",
    with_a_data_manager_of_its_own: "data.datamanager does not use",
    without_the_feature_extractor: "has no FeatureExtractor",
    without_the_dataset_registry: "has no __image_datasets",
    without_the_class_of_datasets: "data has no ImageDataset",
    without_the_engine: "engine has no Engine",
    with_an_engine_without_a_method: "Engine has no update_lr",
    with_the_datasets_name_taken: "has a dataset 'synthetic_persons' already",
    with_the_engines_name_taken: "ImageCCAFLEngine exists already",
    with_the_losses_name_taken: "ICALLoss exists already",
    with_a_registry_that_refuses_writes: "read-only",
}


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_if_anything_is_amiss_nothing_is_registered(spoil):
    def check() -> None:
        forget("torchreid", "ccafl_plugin")
        fresh = importlib.import_module("torchreid")
        torchreid_module.__globals__["torchreid"] = fresh  # so that this file's helpers look into the new one
        spoil()
        before = state()
        try:
            importlib.import_module("ccafl_plugin")
        except (ValueError, TypeError) as error:
            message = str(error)
        else:
            raise AssertionError("registered all the same")
        assert SPOILS[spoil] in message, message
        if "does not fit" in message:
            assert fresh.__version__ in message
            assert "Nothing was registered" in message
        assert "\n" not in message
        assert state() == before

    in_child(check)


def test_apply_all_undoes_in_reverse_order():
    registry: dict[str, Any] = {"kept": 1}
    owner = types.SimpleNamespace(old=1)
    changes = [
        new_item(registry, "thing", "new", 2),
        set_attribute(owner, "old", 2),
        set_attribute(owner, "fresh", 3),
        new_item(ReadOnly(), "thing", "fails", 4),
    ]
    with pytest.raises(TypeError):
        apply_all(changes)
    assert registry == {"kept": 1}
    assert vars(owner) == {"old": 1}


def test_import_is_light_and_needs_no_order():
    """In a process of its own: no open_clip, and torchreid need not be imported first."""
    code = (
        "import ccafl_plugin, torchreid, sys;"
        "print('open_clip' in sys.modules, hasattr(torchreid.engine, 'ImageCCAFLEngine'))"
    )
    finished = python("-W", "ignore", "-c", code)
    assert finished.stdout.split() == ["False", "True"], finished.stdout + finished.stderr
