"""What ``import ccafl_plugin`` changes in torchreid, and that it changes nothing if anything is amiss."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import pytest
import torchreid

import ccafl_plugin
from ccafl_plugin import register, unregister
from ccafl_plugin.integration.changes import apply_all, new_item, set_attribute
from ccafl_plugin.integration.registration import MARK
from ccafl_plugin.integration.table import LOADERS, TABLE, as_markdown
from ccafl_plugin.integration.torchreid_layout import torchreid_module, torchreid_package, uses
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import forget, in_child
from tests.layouts_torchreid import REPOSITORY, python

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


REGISTRIES = ("__model_factory", "__image_datasets")


def state() -> dict[str, Any]:
    """What stands where in torchreid, by the names of its table: modules, registries, lists, classes' bodies."""
    package = torchreid_package().__name__
    found: dict[str, Any] = {}
    for module_name, module in list(sys.modules.items()):
        if module is None or module_name.partition(".")[0] != "torchreid":
            continue
        place = module_name.removeprefix(package).removeprefix(".")
        for name, value in list(vars(module).items()):
            if name.startswith("__") and name not in REGISTRIES:
                continue
            where = f"{place}.{name}".removeprefix(".")
            if isinstance(value, list):
                found[where] = [id(value), *map(id, value)]
            elif isinstance(value, dict):
                found[where] = [id(value), *((key, id(item)) for key, item in value.items())]
            else:
                found[where] = id(value)
            if isinstance(value, type) and value.__module__ == module_name:
                body = {key: id(item) for key, item in vars(value).items() if key != "__slotnames__"}  # of copy.copy
                found |= {f"{where}.{key}": item for key, item in body.items()}
    return found


NEVER_ANEW = {
    *("data.sampler.AVAI_SAMPLERS", "optim.lr_scheduler.AVAI_SCH"),
    *("utils.tools.read_image", "utils.read_image", "data.datasets.dataset.read_image"),
    *(name for row in TABLE for name in row.where if name.rpartition(".")[2] in LOADERS),
    *("engine.ImageCCAFLEngine", "losses.ICDLLoss", "losses.ICALLoss"),
}
"""What is the same object in every registration; wrappers and datasets are made anew."""


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_the_table_names_what_is_changed_and_nothing_else():
    """The state of torchreid without the plugin, with it, and after it has been taken back."""
    with_plugin = state()
    unregister()
    try:
        without = state()
    finally:
        register()
    assert changed(without, with_plugin) - {MARK} == {name for row in TABLE for name in row.where}
    assert all(row.what and row.why and row.switch for row in TABLE)


def test_unregister_gives_back_the_torchreid_that_was_there(tmp_path):
    """Compared with torchreid as it is imported first; a run of the plugin between leaves nothing behind either."""

    def check() -> None:
        forget("torchreid", "ccafl_plugin", "tests")
        fresh = importlib.import_module("torchreid")
        torchreid_module.__globals__["torchreid"] = fresh
        importlib.import_module(f"{torchreid_package().__name__}.utils.feature_extractor")
        untouched = state()
        plugin = importlib.import_module("ccafl_plugin")
        assert changed(untouched, state())
        runs = importlib.import_module("tests.engine.small_runs")
        terms = runs.make_terms({"icdl": (0, -1), "inter": (0, -1)}, icdl={"weight_alignment": 0.0})
        engine = runs.make_engine(runs.write_pictures(tmp_path / "data"), terms=terms)
        engine.run(save_dir=str(tmp_path / "log"), max_epoch=1)
        plugin.unregister()
        assert changed(untouched, state()) == set()
        with pytest.raises(KeyError):
            fresh.models.build_model("clip_tiny", num_classes=1)
        plugin.unregister()  # nothing is left to undo
        plugin.register()
        fresh.models.build_model("clip_tiny", num_classes=1, loss="ccafl", pretrained=False)
        registered, alive = state(), getattr(torchreid_package(), MARK)
        plugin.unregister()
        assert changed(untouched, state()) == set()
        plugin.register()
        assert alive  # a new wrapper in the place of a freed one would look like the old one
        assert changed(registered, state()) - {MARK} == changed(untouched, state()) - {MARK, *NEVER_ANEW}

    in_child(check)


def test_nothing_is_undone_if_another_extension_came_later(monkeypatch):
    sampler = torchreid_module("data.sampler")
    registered = state()
    ours = sampler.build_train_sampler
    sampler.build_train_sampler = lambda *args, **settings: ours(*args, **settings)
    try:
        with pytest.raises(
            CCAFLError, match=r"data\.sampler\.build_train_sampler was changed again after ccafl_plugin"
        ):
            unregister()
    finally:
        sampler.build_train_sampler = ours
    assert state() == registered


def test_the_docs_show_the_table():
    page = REPOSITORY / "docs" / "differences.md"
    assert as_markdown() in page.read_text(encoding="utf-8")


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
    without_a_module: "is not compatible with ccafl_plugin",
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
    with_the_engines_name_taken: "ImageCCAFLEngine already exists",
    with_the_losses_name_taken: "ICALLoss already exists",
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
        "import ccafl_plugin, ccafl_plugin.models, torchreid, sys;"
        "print('open_clip' in sys.modules, hasattr(torchreid.engine, 'ImageCCAFLEngine'))"
    )
    finished = python("-W", "ignore", "-c", code)
    assert finished.stdout.split() == ["False", "True"], finished.stdout + finished.stderr
