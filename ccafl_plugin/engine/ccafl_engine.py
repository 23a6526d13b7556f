"""CCAFL's engine: torchreid's engine with a list of terms as its loss, and stage 1 before the first epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from ccafl_plugin.data.fingerprint import fingerprint_of
from ccafl_plugin.data.label_noise import right_proxies, true_persons
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.argument_checks import check_views
from ccafl_plugin.engine.association_report import AssociationReport, GroupReport, TrueIdentities
from ccafl_plugin.engine.checkpointing import Checkpointing
from ccafl_plugin.engine.effective_settings import effective_settings_of
from ccafl_plugin.engine.encoder_pass import EncoderPass, check_parts, check_replicas, gradient_scaler, narrow_type
from ccafl_plugin.engine.epoch_start import EpochStart
from ccafl_plugin.engine.extraction import TrainingImages
from ccafl_plugin.engine.gradient_check import GradientCheck
from ccafl_plugin.engine.label_filter import LabelFilter
from ccafl_plugin.engine.model_outputs import Promise, promised_outputs
from ccafl_plugin.engine.process_agreement import check_agreement, check_same_run
from ccafl_plugin.engine.shared_loading import NoWriter
from ccafl_plugin.engine.stage1 import PromptStage
from ccafl_plugin.engine.state import MAIN, TrainingState
from ccafl_plugin.engine.supervision import Supervision, check_ids
from ccafl_plugin.engine.term_checks import check_terms
from ccafl_plugin.engine.term_iterations import TermIterations
from ccafl_plugin.engine.text_side import TextSide
from ccafl_plugin.engine.training_input import TrainingInput
from ccafl_plugin.models.joined_norms import join_if_shared
from ccafl_plugin.optim import fuse_steps
from ccafl_plugin.options import options
from ccafl_plugin.terms import PAPER_TERMS, TERMS, Setup, Term, check_windows, order_by_needs
from ccafl_plugin.utils.distributed import (
    average_statistics,
    check_initialised,
    from_first,
    is_first_process,
    quiet_unless_first,
    send_tensors,
    unwrap,
    without_ddp,
)
from ccafl_plugin.utils.dtypes import convolutions_like_products
from ccafl_plugin.utils.folder_lock import locked
from ccafl_plugin.utils.seeds import pin_global_state
from ccafl_plugin.utils.stopping import shielded


class ImageCCAFLEngine(TermIterations):
    """Trains a model with a list of terms; the training loop, evaluation and logging are torchreid's.

    Args:
        datamanager: torchreid's ``ImageDataManager``.
        model: a model of torchreid's factory. ``clip_*`` built with ``loss='ccafl'`` have a text encoder. Other models
            are built with ``loss='triplet'`` and can use the terms that need no text.
        optimizer: optimizer of the model's parameters.
        scheduler: stepped once per epoch; None for a constant rate.
        use_gpu: kept for torchreid's signature; training and tests run on the model's device.
        terms: the terms of the total loss; None: the paper's five terms with its Market-1501 values.
        stage1: settings of stage 1.
        association: name of the cross-camera association.
        association_options: its arguments, e.g. ``{'rate': 1.7}``.
        keep_unassociated: whether a proxy without partner becomes its own pseudo identity; False in the paper.
        whitening: above 0, proxies are associated by features that are whitened with the spread of images inside
            proxies, with this shrinkage; 0 in the paper.
        robust_labels: whether images whose features contradict their label inside the camera get another label or are
            left out, judged anew in every epoch (docs/method.md, section 11); False in the paper.
        supervision: ``intra_camera``, or ``full`` for upper bounds, with true identities instead of the association.
        ids: ``per_camera`` if the training ids are not comparable across cameras; then no scores from true identities
            are computed.
        amp: whether to use mixed precision if the model is on a GPU.
        precision: type of mixed precision: ``fp16`` as in the paper, ``bf16``, or ``fp32`` for none.
        extraction_precision: the same for the features at the start of an epoch; ``fp32`` as in evaluation.
        extraction_memory: MB of memory in which resized training images may be kept between epochs, as bytes; if they
            need more, files are read again in every epoch. Results are the same.
        device_transforms: whether training images go to the model's device as bytes and are flipped, cropped,
            normalised and erased there, a batch at a time; random draws then depend on an image's place in the epoch
            only. False: torchreid's transforms run in the data workers, which draw one by one. Other transforms than
            ``random_flip``, ``pad_crop`` and ``random_erase`` always run there.
        accumulation: number of parts in which a batch is computed, for GPUs with too little memory. The losses see the
            whole batch; batch norm sees the parts.
        keep: number of the newest checkpoints that are kept.
        keep_epochs: numbers of finished epochs whose checkpoints are always kept.
        max_skipped: a step with a gradient that is not finite is skipped; more than this number in a row stop the run.
            A gradient scaler (``fp16``) skips some steps at its start.
        sync_batch_norm: whether batch norms of several processes see the whole batch, on GPUs.
        seed: seed of all random draws; None: ``options.seed``.

    Attributes:
        state: everything that a checkpoint contains.
        checkpoints: writes and reads checkpoints.
        labels: cameras and proxies of the training list.
        supervision: source of pseudo identities.
        terms: all terms; each comes after those it needs.
        active_terms: the active terms of this epoch; set at its start.
        text: prompts and text features.
        input: loads training images and augments them.
        encoder: runs the model in training, with its precision and parts.
        gradients: skips and counts steps whose gradients are not finite.
        epoch_start: computes pseudo identities and memories.
        label_filter: judges labels by features; None: all images are used with their labels.

    Raises:
        CCAFLError: terms that are not possible with the model, the data or the other terms; an unknown precision; parts
            that do not divide the batch.

    Example::

        engine = torchreid.engine.ImageCCAFLEngine(datamanager, model, optimizer, scheduler=scheduler)
        engine.run(save_dir="log/ccafl", max_epoch=50)
    """

    def __init__(
        self,
        datamanager: Any,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any = None,
        use_gpu: bool = True,
        *,
        terms: Sequence[Term] | None = None,
        stage1: PromptStage | None = None,
        association: str = "nearest_pairs",
        association_options: Mapping[str, Any] | None = None,
        keep_unassociated: bool = False,
        whitening: float = 0.0,
        robust_labels: bool = False,
        supervision: str = "intra_camera",
        ids: str = "across_cameras",
        amp: bool = True,
        precision: str = "fp16",
        extraction_precision: str = "fp32",
        extraction_memory: int = 2048,
        device_transforms: bool = True,
        accumulation: int = 1,
        keep: int = 2,
        keep_epochs: Sequence[int] = (),
        max_skipped: int = 20,
        sync_batch_norm: bool = True,
        seed: int | None = None,
    ) -> None:
        check_initialised()
        super().__init__(datamanager, use_gpu)
        model = without_ddp(model)
        self.writer: SummaryWriter | NoWriter | None = None
        self.batch_idx = 0  # torchreid's loop counts iterations in it
        self.use_gpu = False  # otherwise torchreid's loop moves images to the first GPU, even if the model is elsewhere
        self.device = next(model.parameters()).device
        join_if_shared(unwrap(model), self.device, sync_batch_norm)
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.register_model(MAIN, model, optimizer, scheduler)
        fuse_steps(optimizer)
        self.seed = options.seed if seed is None else seed
        self.frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}

        self.input = TrainingInput(datamanager.train_loader, device_transforms, self.seed)
        self.train_loader: Any = self.input.loader
        dataset, sampler = self.train_loader.dataset, self.train_loader.batch_sampler.sampler
        check_views(getattr(dataset, "k_tfm", 1))
        dtype = narrow_type(precision if amp else "fp32", self.device)
        extraction_dtype = narrow_type(extraction_precision, self.device, "extraction_precision")
        check_replicas(model, dtype)
        check_replicas(model, extraction_dtype, "extraction_precision")
        # If batches differ in size, the sampler has the largest size.
        check_parts(self.train_loader.batch_size or sampler.batch_size, accumulation)
        self.encoder = EncoderPass(model, dtype, accumulation)
        self.gradients = GradientCheck(unwrap(model), max_skipped)

        self.labels = ProxyLabels.from_tuples(dataset.train)
        options_of_it = dict(association_options or {})
        self.supervision = Supervision(supervision, association, options_of_it, keep_unassociated, whitening)
        check_ids(ids, supervision)
        self.supervision.check_sampler(type(sampler).__name__)
        self.class_of_proxy = self.supervision.class_of_proxy(self.labels)
        self.text = TextSide(unwrap(model), stage1 or PromptStage(), self.labels, self.supervision, self.device)
        self.terms = order_by_needs([TERMS[name]() for name in PAPER_TERMS] if terms is None else list(terms))
        self.active_terms: list[Term] = []
        promise = promised_outputs(model, datamanager.height, datamanager.width)
        check_terms(self.terms, self.text, promise, self.labels, self.supervision)
        self._bind_terms(promise)

        images = TrainingImages(datamanager, self.labels, extraction_memory, shared=True)
        groups = GroupReport(self.labels, self.history, self.seed)
        report: AssociationReport = groups
        if ids == "across_cameras":
            report = TrueIdentities(true_persons(dataset, self.labels), self.labels, groups)
        self.label_filter: LabelFilter | None = None
        if robust_labels:
            self.label_filter = LabelFilter(
                images.paths, self.labels, self.device, sampler, right_proxies(dataset, self.labels)
            )
        self.epoch_start = EpochStart(
            model, images, self.labels, self.supervision, report, extraction_dtype, self.seed, self.label_filter
        )
        self.history.effective_settings = effective_settings_of(self)
        self.history.dataset = fingerprint_of(dataset.train)
        scaler = gradient_scaler(dtype)
        self.state = TrainingState(self._models, self._optims, self._scheds, scaler, history=self.history)
        architecture = {
            "model": getattr(unwrap(model), "name", type(unwrap(model)).__name__),
            "feature_dim": promise.feature_dim,
            "input": [datamanager.height, datamanager.width],
            "proxies": self.labels.num_proxies,
        }
        self.checkpoints = Checkpointing(self.state, architecture, keep, frozenset(keep_epochs))

    def _bind_terms(self, promise: Promise) -> None:
        setup = Setup(
            labels=self.labels,
            num_classes=self.supervision.num_classes(self.labels),
            feature_dim=promise.feature_dim,
            device=self.device,
            seed=self.seed,
            terms={term.name: term for term in self.terms},
            optimizer=self.optimizer,
        )
        if any(term.needs_text for term in self.terms):
            self.register_model("prompts", self.text.make_prompts(self.seed, options.prompt_length), None, None)
        for term in self.terms:
            term.bind(setup)
            owned = term.owned()
            if owned is not None:
                fuse_steps(owned[1])
                self.register_model(term.name, *owned, term.schedule())

    # --- the run -----------------------------------------------------------------------------------------------

    def run(self, save_dir: str = "log", max_epoch: int = 0, start_epoch: int = 0, **settings: Any) -> None:
        """Runs stage 1 if needed, then torchreid's ``run``; takes all of its arguments.

        Args:
            save_dir: folder of checkpoints and logs.
            max_epoch: number of epochs of stage 2.
            start_epoch: first epoch of stage 2, which :meth:`resume` returns.
            **settings: see ``torchreid.engine.Engine.run``.

        Raises:
            CCAFLError: another process is writing into the folder, or a term cannot be trained.
            Diverged: a loss, gradients or weights are not finite.
        """
        self.save_dir = save_dir
        with quiet_unless_first(), ExitStack() as held:
            check_same_run(self, {"max_epoch": max_epoch, "start_epoch": start_epoch, **settings})
            if not settings.get("test_only", False):
                from_first(lambda: held.enter_context(locked(save_dir)))
            self._run(save_dir, max_epoch, start_epoch, **settings)

    def _run(self, save_dir: str, max_epoch: int, start_epoch: int, **settings: Any) -> None:
        if not settings.get("test_only", False):
            self._begin(save_dir, max_epoch, start_epoch)
        self.epoch = max(start_epoch - 1, 0)  # the epoch of the final test if no epoch is left
        self._saved = None
        try:
            super().run(save_dir=save_dir, max_epoch=max_epoch, start_epoch=start_epoch, **settings)
        finally:
            self._saved = None

    @convolutions_like_products()  # as ``run`` of the base class
    def _begin(self, save_dir: str, max_epoch: int, start_epoch: int) -> None:
        """Checks the terms, prints the settings, moves old checkpoints away, and runs stage 1 if needed."""
        check_windows(self.terms, range(start_epoch, max_epoch))
        send_tensors(tensor for model in self._models.values() for tensor in unwrap(model).state_dict().values())
        with_text = [term.name for term in self.terms if term.needs_text and term.window(max_epoch)]
        if with_text and self.checkpoints.goes_on and start_epoch > 0:
            self.text.require_stage1(with_text[0], start_epoch)
        print(self.history.effective_settings)
        for term in self.terms:
            if max_epoch and not term.window(max_epoch):
                print(f"The term {term.name!r} never becomes active: it starts in epoch {term.first_epoch}")
        if start_epoch < max_epoch:
            self.checkpoints.make_room(save_dir, start_epoch)
        for line in filter(None, (str(self.encoder), str(self.input))):
            print(line)
        if self.writer is None:
            self.writer = SummaryWriter(log_dir=save_dir) if is_first_process() else NoWriter()
        if self.text.is_open and with_text:
            started = time.monotonic()
            judged = None
            if self.label_filter is not None:
                judged = self.label_filter.look(self.epoch_start.features(), "Stage 1")
            self.text.learn(self.epoch_start.images, self.seed, self.writer.add_scalar, judged)
            self.history.training_seconds += time.monotonic() - started
            with shielded():
                self.save_model(start_epoch - 1, self.state.rank1, save_dir)

    def train(self, print_freq: int = 10, fixbase_epoch: int = 0, open_layers: Any = None) -> None:
        """Trains one epoch: new pseudo identities and memories, torchreid's loop, a checkpoint."""
        started = time.monotonic()
        self._saved = None
        self.start_epoch_of_terms()
        pin_global_state(self.seed, self.epoch, "training loop")  # torchreid's samplers and dropout draw from these
        loader = self.train_loader
        try:
            with self.input.of_epoch(loader, self.epoch_start.images, self.epoch) as self.train_loader:
                super().train(print_freq=print_freq, fixbase_epoch=fixbase_epoch, open_layers=open_layers)
        finally:
            self.train_loader = loader
        average_statistics(self.model)
        skipped = self.gradients.settle(self.epoch, self.batch_idx)
        self._write("Skipped_steps", {"of_epoch": skipped})
        self.history.note_skipped(self.epoch, skipped, self.num_batches, self.state.scaler.is_enabled())
        for line in check_agreement(self.active_terms, self.epoch_start.pseudo, self.epoch, unwrap(self.model)):
            print(line)
        self.history.training_seconds += time.monotonic() - started
        with shielded():
            self.save_model(self.epoch, self.state.rank1, self.save_dir)
        self._saved = (self.epoch, self.save_dir)

    def start_epoch_of_terms(self) -> None:
        """Computes features, pseudo identities and memories for :attr:`epoch`; sets :attr:`active_terms`."""
        due = [term for term in self.terms if term.is_active(self.epoch)]
        for term in self.terms:
            if term not in due:
                term.release()
        self.active_terms, association = self.epoch_start(self.epoch, due, self.text.of_proxies)
        if association is not None:
            self.history.association.append({"epoch": self.epoch, **association})
            self._write("Association", {key: value for key, value in association.items() if key != "sizes"})
        if self.label_filter is not None:
            self._write("Labels", self.label_filter.facts())
        groups = enumerate(self.optimizer.param_groups)
        self._write("Learning_rate", {group.get("name", f"group_{i}"): group["lr"] for i, group in groups})

    def two_stepped_transfer_learning(
        self, epoch: int, fixbase_epoch: int, open_layers: Any, model: nn.Module | None = None
    ) -> None:
        """Calls torchreid's method, then freezes the parameters again that were frozen when the engine was created."""
        super().two_stepped_transfer_learning(epoch, fixbase_epoch, open_layers, model)
        for name, parameter in (self.model if model is None else model).named_parameters():
            if name in self.frozen:
                parameter.requires_grad = False

    def extract_features(self, input: Tensor) -> Any:
        """The model's features of test images, computed on the model's device."""
        return super().extract_features(input.to(self.device, non_blocking=True))

    def _write(self, group: str, values: Mapping[str, float]) -> None:
        """Writes numbers of an epoch for TensorBoard."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{group}/{name}", value, self.epoch)
