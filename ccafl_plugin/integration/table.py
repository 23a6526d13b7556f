"""The table of all changes that the plugin makes in torchreid.

:func:`~ccafl_plugin.integration.registration.register` makes the changes of its rows. docs/differences.md shows them
(``python -m ccafl_plugin.integration.table`` prints the section). Nothing else in torchreid is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ccafl_plugin.integration import (
    builders,
    camera_evaluation,
    data_manager,
    evaluation,
    images,
    new_names,
    torchreid_extractor,
    weights,
)
from ccafl_plugin.integration.changes import Change

BY_NAME = "used only if the name is chosen"
NONE = "none"
LOADERS = ("load_checkpoint", "load_pretrained_weights", "resume_from_checkpoint")
MANY = 5
"""Places of one name that are listed by their modules alone."""


@dataclass(frozen=True)
class Row:
    """One thing that is added to torchreid or replaced in it.

    Attributes:
        what: the change in words.
        where: names in the layout of torchreid's repository, below ``torchreid`` (below ``torchreid.reid`` in PyPI's
            distribution); a function is replaced in every module that imported it by name.
        why: the reason.
        switch: how to avoid the change.
        changes: checks that torchreid is as expected and returns the changes; it writes nothing.
    """

    what: str
    where: tuple[str, ...]
    why: str
    switch: str
    changes: Callable[[], list[Change]]


TABLE = (
    Row(
        "models `clip_rn50`, `clip_vit_b16`, `clip_tiny`",
        ("models.__model_factory",),
        "CLIP's image and text encoder as backbones of `build_model`",
        BY_NAME,
        builders.model_changes,
    ),
    Row(
        "models `open_clip/...`",
        ("models.build_model", "utils.feature_extractor.build_model"),
        "any encoder of open_clip by its name there ([weights](weights.md#encoders-of-open_clip))",
        BY_NAME,
        builders.build_model_changes,
    ),
    Row(
        "samplers `ProxySampler`, `IntraCameraSampler`, `CameraBalancedSampler`, `IdentitySampler`",
        ("data.sampler.AVAI_SAMPLERS", "data.sampler.build_train_sampler", "data.datamanager.build_train_sampler"),
        "batches of P proxies x K images; torchreid's function accepts only its own names",
        BY_NAME,
        builders.sampler_changes,
    ),
    Row(
        "optimizers of the plugin's models",
        ("optim.optimizer.build_optimizer", "optim.build_optimizer"),
        "a separate learning rate for biases; frozen parameters are left out",
        "`options.bias_lr_factor = 1`; applies to torchreid's own models only with `options.bias_lr_for_all_models`",
        builders.optimizer_changes,
    ),
    Row(
        "schedules `warmup_multi_step`, `warmup_cosine`",
        ("optim.lr_scheduler.AVAI_SCH", "optim.lr_scheduler.build_lr_scheduler", "optim.build_lr_scheduler"),
        "torchreid has no warm-up",
        BY_NAME,
        builders.scheduler_changes,
    ),
    Row(
        "transforms `bicubic_resize`, `pad_crop`",
        ("data.transforms.build_transforms", "data.datamanager.build_transforms"),
        "CLIP was trained on bicubic images; unknown names give a warning, torchreid ignores them silently",
        BY_NAME,
        images.transform_changes,
    ),
    Row(
        "reading of images",
        ("utils.tools.read_image", "utils.read_image", "data.datasets.dataset.read_image"),
        "torchreid retries a broken file forever; training images may be kept in memory",
        NONE,
        images.reading_changes,
    ),
    Row(
        "reading of checkpoints and weights",
        (
            *(f"utils.torchtools.{name}" for name in LOADERS),
            *(f"utils.{name}" for name in LOADERS),
            "utils.feature_extractor.load_pretrained_weights",
        ),
        "nothing in a file is run, whatever torch's version; torchreid's own checkpoints load with torch from 2.6 on; "
        "nothing that fits is an error; positions of CLIP are interpolated",
        NONE,
        weights.checkpoint_changes,
    ),
    Row(
        "ImageNet weights of torchreid's models",
        (
            *(f"models.{name}.init_pretrained_weights" for name in (*weights.ADDRESSED, *weights.NAMED)),
            "models.inceptionresnetv2.InceptionResNetV2.load_imagenet_weights",
        ),
        "https or refused, checksum in the name compared, whole files only, nothing in a file is run; "
        "nothing that fits is an error",
        "`model.pretrained False`, or the file in torch's cache",
        weights.imagenet_changes,
    ),
    Row(
        "downloads of data sets",
        (
            "data.datasets.dataset.Dataset.download_dataset",
            "data.datasets.image.university1652.University1652.__init__",
            *(f"{name}.download_url" for name in ("utils.tools", "utils", "data.datasets.dataset")),
        ),
        "torchreid fetches over plain HTTP and unpacks whatever comes; the address is named instead",
        NONE,
        weights.dataset_download_changes,
    ),
    Row(
        "`FeatureExtractor` for the plugin's models, and for weights that describe themselves",
        ("utils.feature_extractor.FeatureExtractor.__init__",),
        "models are built for its image size, and images are resized bicubically; a file's description gives what the "
        "caller does not, and contradicting it is an error ([weights](weights.md))",
        "applies only to models named `clip_*` and to described files",
        torchreid_extractor.extractor_changes,
    ),
    Row(
        "datasets `synthetic_persons`, `msmt17_trainval`, `folder`, `tracks`",
        ("data.datasets.__image_datasets",),
        "a rendered benchmark; MSMT17 with its published protocol; your own data",
        BY_NAME,
        data_manager.dataset_changes,
    ),
    Row(
        "loaders of `ImageDataManager`",
        ("data.datamanager.ImageDataManager.__init__",),
        "batches of `IntraCameraSampler` stay whole; data workers that are not forked import the plugin",
        "batches of other samplers are unchanged",
        data_manager.manager_changes,
    ),
    Row(
        "lists of datasets",
        ("data.datasets.dataset.Dataset.__init__", "engine.engine.Engine.test"),
        "without query and gallery torchreid raises an IndexError; here training works, and a line says that nothing "
        "is evaluated. Columns, labels that are no whole numbers and other entries are one line; `pathlib` paths work",
        "other lists are unchanged",
        lambda: [*data_manager.list_changes(), *evaluation.test_changes()],
    ),
    Row(
        "list files of `msmt17`",
        ("data.datasets.image.msmt17.MSMT17.process_dir",),
        "tabs and empty lines are allowed as in `msmt17_trainval`, a wrong line is named",
        "lists of the published form are read alike",
        data_manager.msmt17_changes,
    ),
    Row(
        "evaluation and re-ranking",
        (
            "metrics.rank.evaluate_rank",
            "metrics.evaluate_rank",
            "utils.rerank.re_ranking",
            "utils.re_ranking",
            "engine.engine.re_ranking",
            "engine.engine.metrics",
        ),
        "the same scores, computed faster and without full distance matrices; ties are ranked by gallery position",
        "`options.fast_evaluation = False`, `ccafl.fast_evaluation False`",
        evaluation.evaluation_changes,
    ),
    Row(
        "cameras and ranks in tests",
        ("engine.engine.Engine._evaluate",),
        "camera-wise normalisation of features, re-ranking that knows cameras ([cameras](cameras.md)); ranks beyond "
        "the end of the curve, at which torchreid raises an IndexError, are left out",
        "off by default: `options.camera_normalization`, `options.camera_rerank`; other ranks are unchanged",
        camera_evaluation.evaluate_changes,
    ),
    Row(
        "engine `ImageCCAFLEngine`",
        ("engine.ImageCCAFLEngine",),
        "trains with a list of terms",
        BY_NAME,
        new_names.engine_changes,
    ),
    Row(
        "losses `ICDLLoss`, `ICALLoss`",
        ("losses.ICDLLoss", "losses.ICALLoss"),
        "for your own engines",
        BY_NAME,
        new_names.loss_changes,
    ),
)


def _places(names: tuple[str, ...]) -> Iterator[str]:
    """The names in Markdown; one that stands in many modules of one folder only once."""
    parts = [(*name.split(".", 2), "")[:3] if name.count(".") == 2 else (name, "", "") for name in names]
    groups: dict[tuple[str, str], list[str]] = {}
    for folder, middle, last in parts:
        groups.setdefault((folder, last), []).append(middle)
    for (folder, last), modules in groups.items():
        if last and len(modules) >= MANY:
            yield f"`{folder}.*.{last}` ({', '.join(modules)})"
        else:
            yield from (f"`{'.'.join(filter(None, (folder, middle, last)))}`" for middle in modules)


def as_markdown() -> str:
    """The table in docs/differences.md."""
    lines = ["| what | where in torchreid | why | how to avoid it |", "|---|---|---|---|"]
    for row in TABLE:
        where = ", ".join(_places(row.where))
        lines.append(f"| {row.what} | {where} | {row.why} | {row.switch} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown())
