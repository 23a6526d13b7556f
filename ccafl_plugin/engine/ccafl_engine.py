"""CCAFL's engine: torchreid's own, with terms in place of one loss and a prompt stage before the first epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.effective_settings import effective_settings_of
from ccafl_plugin.engine.encoder_pass import EncoderPass, check_parts, check_replicas, gradient_scaler, narrow_type
from ccafl_plugin.engine.epoch_start import EpochStart
from ccafl_plugin.engine.image_transfer import ImageTransfer
from ccafl_plugin.engine.loss_report import LossReport
from ccafl_plugin.engine.model_outputs import promised_outputs
from ccafl_plugin.engine.resuming import ResumableEngine
from ccafl_plugin.engine.stage1 import PromptStage
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.engine.text_side import TextSide
from ccafl_plugin.metrics.watched_scores import watched_scores
from ccafl_plugin.optim import fuse_steps
from ccafl_plugin.options import options
from ccafl_plugin.terms import PAPER_TERMS, TERMS, Batch, Setup, Term, check_windows, order_by_needs
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import pin_global_state


class NonFiniteLoss(RuntimeError):
    """A loss became infinite or NaN; the message names the term, its part, epoch and iteration."""


class ImageCCAFLEngine(ResumableEngine):
    """Trains a model by a list of terms; loop, evaluation and logging are torchreid's.

    Args:
        datamanager: torchreid's ``ImageDataManager``.
        model: a model of torchreid's factory. ``clip_*`` built with ``loss='ccafl'`` have a text encoder; any other is
            built with ``loss='triplet'`` and takes the terms that need no text.
        optimizer: of the model's parameters.
        scheduler: stepped once per epoch; None for a constant rate.
        use_gpu: kept for torchreid's signature; training and tests run where the model is.
        terms: the terms of the total loss; None: the paper's five with its Market-1501 values.
        stage1: settings of the prompt stage.
        association: name of the cross-camera association.
        association_options: its arguments, e.g. ``{'rate': 1.7}``.
        keep_unassociated: a proxy without partner becomes a pseudo identity of its own; False in the paper.
        supervision: ``intra_camera``, or ``full`` for upper bounds: true identities instead of the association.
        amp: mixed precision where the model is on a GPU.
        precision: which one: ``fp16`` as in the paper, ``bf16``, or ``fp32``, which is none.
        extraction_precision: of the features taken at an epoch's start, likewise; ``fp32`` as in evaluation.
        extraction_memory: MB in which the training images may stay from epoch to epoch, resized, as bytes; if they take
            more, files are read again and again. Results are the same.
        accumulation: parts that a batch is processed in, for GPUs that can't hold it whole. The losses see the whole
            batch; batch norm sees the parts.
        keep: how many of the newest checkpoints stay.
        keep_epochs: numbers of finished epochs whose checkpoint stays however old it is.
        seed: of all draws; None: ``options.seed``.

    Raises:
        CCAFLError: terms that the model, the data or each other do not allow; an unknown precision; parts that don't
            divide the batch.

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
        supervision: str = "intra_camera",
        amp: bool = True,
        precision: str = "fp16",
        extraction_precision: str = "fp32",
        extraction_memory: int = 2048,
        accumulation: int = 1,
        keep: int = 2,
        keep_epochs: Sequence[int] = (),
        seed: int | None = None,
    ) -> None:
        super().__init__(datamanager, use_gpu)
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.register_model("model", model, optimizer, scheduler)
        self.keep = keep
        self.keep_epochs = frozenset(keep_epochs)
        self.seed = options.seed if seed is None else seed
        self.device = next(model.parameters()).device
        self.use_gpu = False  # torchreid's loop would move images to the first GPU, wherever the model is
        if getattr(self.train_loader.dataset, "k_tfm", 1) > 1:
            raise CCAFLError("k_tfm: this engine takes one view of every image of a batch; set it to 1.")
        dtype = narrow_type(precision if amp else "fp32", self.device)
        self.amp = dtype is not None
        self.extraction_dtype = narrow_type(extraction_precision, self.device, "ccafl.extraction_precision")
        check_replicas(model, dtype)
        check_replicas(model, self.extraction_dtype, "ccafl.extraction_precision")
        self.scaler = gradient_scaler(dtype)
        loader = self.train_loader  # batches of several sizes have their largest one noted in the sampler
        check_parts(loader.batch_size or loader.batch_sampler.sampler.batch_size, accumulation)
        self.encoder = EncoderPass(model, dtype, accumulation)
        self.transfer = ImageTransfer(self.device)
        fuse_steps(optimizer)
        self.frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        self.results: dict[str, dict[str, float]] = {}
        self.rank1 = 0.0
        self.association_history: list[dict[str, float]] = []
        self.training_seconds = 0.0
        self.earlier_code: list[str] = []
        self.goes_on, self.folder = False, None

        self.labels = ProxyLabels.from_tuples(self.train_loader.dataset.train)
        self.supervision = Supervision(supervision, association, dict(association_options or {}), keep_unassociated)
        self.supervision.check_sampler(type(self.train_loader.batch_sampler.sampler).__name__)
        self.terms = order_by_needs([TERMS[name]() for name in PAPER_TERMS] if terms is None else list(terms))
        self.text = TextSide(unwrap(model), stage1 or PromptStage(), self.labels, self.supervision, self.device)
        self.promise = promised_outputs(model, datamanager.height, datamanager.width)
        self._check_terms()
        self._bind_terms()
        self.epoch_start = EpochStart(self, extraction_memory)
        self.effective_settings = effective_settings_of(self)
        self._active: list[Term] = []

    def _check_terms(self) -> None:
        """Refuses terms that can never work here, before anything is trained."""
        if not self.terms:
            raise CCAFLError("No term is enabled: set ccafl.terms.NAME.enabled True for at least one.")
        for term in self.terms:
            if term.needs_text:
                self.text.require(term.name)
            if term.needs_logits and not self.promise.has_logits:
                raise CCAFLError(
                    f"The term {term.name!r} needs a classifier, the model has none: "
                    "call model.make_classifier(number of classes) before the optimizer is built."
                )
            if term.needs_association and self.labels.num_cameras == 1 and not self.supervision.is_full:
                raise CCAFLError(
                    f"The term {term.name!r} associates identities across cameras, but the training set has one "
                    f"camera: set ccafl.terms.{term.name}.enabled False or add a source."
                )

    def _bind_terms(self) -> None:
        setup = Setup(
            labels=self.labels,
            num_classes=self.supervision.num_classes(self.labels),
            feature_dim=self.promise.feature_dim,
            device=self.device,
            seed=self.seed,
            terms={term.name: term for term in self.terms},
        )
        if any(term.needs_text for term in self.terms):
            self.register_model("prompts", self.text.make_prompts(self.seed, options.prompt_length), None, None)
        for term in self.terms:
            term.bind(setup)
            if term.owned() is not None:
                fuse_steps(term.owned()[1])
                self.register_model(term.name, *term.owned(), None)
        self.class_of_proxy = self.supervision.class_of_proxy(self.labels).to(self.device)

    # --- the run -----------------------------------------------------------------------------------------------

    def run(self, save_dir: str = "log", max_epoch: int = 0, start_epoch: int = 0, **settings: Any) -> None:
        """torchreid's ``run`` with stage 1 before it; takes all of its arguments.

        Args:
            save_dir: folder of checkpoints and logs.
            max_epoch: epochs of stage 2.
            start_epoch: where stage 2 goes on; what :meth:`resume` returns.
            **settings: see ``torchreid.engine.Engine.run``.
        """
        self.save_dir = save_dir
        if not settings.get("test_only", False):
            check_windows(self.terms, range(start_epoch, max_epoch))
            with_text = [term.name for term in self.terms if term.needs_text and term.window(max_epoch)]
            if with_text and self.goes_on and start_epoch > 0:
                self.text.require_stage1(with_text[0], start_epoch)
            print(self.effective_settings)
            for term in self.terms:
                if not term.window(max_epoch):
                    print(f"The term {term.name!r} never becomes active: it starts in epoch {term.first_epoch}")
            if start_epoch < max_epoch:
                self.make_room(save_dir, start_epoch)
            if self.encoder.parts > 1:
                print(self.encoder)
            if self.writer is None:
                self.writer = SummaryWriter(log_dir=save_dir)
            if self.text.is_open and with_text:
                started = time.monotonic()
                self.text.learn(self)
                self.training_seconds += time.monotonic() - started
                self.save_model(start_epoch - 1, self.rank1, save_dir)
        self.epoch = max(start_epoch - 1, 0)  # what the final test is of if no epoch is left
        super().run(save_dir=save_dir, max_epoch=max_epoch, start_epoch=start_epoch, **settings)

    def train(self, print_freq: int = 10, fixbase_epoch: int = 0, open_layers: Any = None) -> None:
        """One epoch: fresh pseudo identities and memories, torchreid's loop, a checkpoint."""
        started = time.monotonic()
        self._active = self.epoch_start([term for term in self.terms if term.is_active(self.epoch)])
        sampler = self.train_loader.batch_sampler.sampler
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self.epoch)
        pin_global_state(self.seed, self.epoch, "training loop")  # torchvision's augmentation draws from these
        with self.epoch_start.images.served_to_training():
            super().train(print_freq=print_freq, fixbase_epoch=fixbase_epoch, open_layers=open_layers)
        self.training_seconds += time.monotonic() - started
        self.save_model(self.epoch, self.rank1, self.save_dir)

    def forward_backward(self, data: dict[str, Any]) -> dict[str, float]:
        """One iteration; torchreid's loop averages, prints and writes whatever this returns."""
        batch = self.make_batch(data)
        for term in self._active:
            term.step_own(batch)  # the proxy classifier learns from detached features before ICAL reads it
        parts = {term.name: term.loss(batch) for term in self._active}
        losses = [
            term.weight * part for term in self._active for part in parts[term.name].values() if part.requires_grad
        ]
        report = LossReport(parts, losses)
        if losses:
            self.optimizer.zero_grad(set_to_none=True)
            self.encoder.backward(self.scaler.scale(torch.stack(losses).sum()))
        numbers = self._finite(report.read())
        if losses:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        for term in self._active:
            term.update(batch)
        return numbers

    def make_batch(self, data: dict[str, Any]) -> Batch:
        """Runs the encoder, once; everything behind it is float32."""
        host_proxies = self.labels.proxies_of(data["dsetid"], data["camid"], data["pid"])
        proxies = host_proxies.to(self.device, non_blocking=True)
        outputs = self.encoder.forward(self.transfer(data["img"]))
        return Batch(
            raw=outputs.raw,
            features=outputs.features,
            embeddings=outputs.embeddings,
            logits=outputs.logits,
            proxies=proxies,
            host_proxies=host_proxies,
            classes=self.class_of_proxy[proxies],
        )

    def _finite(self, report: dict[str, float]) -> dict[str, float]:
        """The report as it is.

        Raises:
            NonFiniteLoss: a part is infinite or NaN; no parameter of the encoder has been touched then.
        """
        for name, number in report.items():
            if name != "loss" and not math.isfinite(number):
                raise NonFiniteLoss(
                    f"The loss {name} is {number} in epoch {self.epoch}, iteration {self.batch_idx}; the last "
                    "checkpoint is untouched. Going on from it with ccafl.amp False may help, or beginning anew with a "
                    "lower train.lr."
                )
        return report

    def two_stepped_transfer_learning(
        self, epoch: int, fixbase_epoch: int, open_layers: Any, model: nn.Module | None = None
    ) -> None:
        """torchreid's, after which what was frozen when the engine was made is frozen again."""
        super().two_stepped_transfer_learning(epoch, fixbase_epoch, open_layers, model)
        for name, parameter in (self.model if model is None else model).named_parameters():
            if name in self.frozen:
                parameter.requires_grad = False

    def extract_features(self, input: Tensor) -> Any:
        """The model's features of test images, wherever it is."""
        return super().extract_features(input.to(self.device, non_blocking=True))

    # --- evaluation --------------------------------------------------------------------------------------------

    def _evaluate(self, dataset_name: str = "", ranks: Sequence[int] = (1, 5, 10, 20), **settings: Any) -> Any:
        """torchreid's, whose scores (``mAP``, ``rank1`` and the other ranks that it prints) stay in :attr:`results`.

        Ranks beyond the gallery's size are left out.
        """
        images = len(settings["gallery_loader"].dataset)
        shown = [rank for rank in ranks if rank <= images]
        with watched_scores() as seen:
            rank1, mean_average_precision = super()._evaluate(dataset_name=dataset_name, ranks=shown, **settings)
        self.rank1 = float(rank1)
        curve = {f"rank{rank}": float(scores.cmc[rank - 1]) for scores in seen for rank in shown}
        self.results[dataset_name] = {"mAP": float(mean_average_precision), "rank1": self.rank1, **curve}
        return self.rank1, float(mean_average_precision)
