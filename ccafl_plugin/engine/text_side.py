"""The text side of a run: prompts, their training in stage 1, and the text features that stage 2 reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.stage1 import PromptStage, learn_prompts
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.models import BACKBONES, PromptLearner
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.seeds import generator

if TYPE_CHECKING:
    from ccafl_plugin.engine.ccafl_engine import ImageCCAFLEngine

SCOPES = ("camera", "person")


class Prompts(nn.Module):
    """What stage 1 leaves behind: the prompts' vectors and one text feature per prompt.

    Both are in the checkpoint, so that a resumed run needs no stage 1.
    """

    def __init__(self, learner: PromptLearner, embed_dim: int) -> None:
        super().__init__()
        self.learner = learner
        self.register_buffer("features", torch.zeros(learner.num_prompts, embed_dim))
        self.register_buffer("learned", torch.zeros((), dtype=torch.bool))


class TextSide:
    """Prompts and text features of a run; for a backbone without text encoder it only says so.

    Args:
        backbone: the model without wrappers.
        stage: settings of stage 1.
        labels: of the training set.
        supervision: decides whether prompts may be per person.
        device: of the model.

    Raises:
        CCAFLError: an unknown scope, or ``person`` without full supervision.
    """

    def __init__(
        self,
        backbone: nn.Module,
        stage: PromptStage,
        labels: ProxyLabels,
        supervision: Supervision,
        device: torch.device,
    ) -> None:
        if stage.scope not in SCOPES:
            raise unknown_name("ccafl.stage1.scope", stage.scope, SCOPES)
        if stage.scope == "person" and not supervision.is_full:
            raise CCAFLError(
                "ccafl.stage1.scope: 'person' reads identities across cameras; set ccafl.supervision full, "
                "or ccafl.stage1.scope camera."
            )
        self.stage = stage
        self.labels = labels
        self.device = device
        self.backbone = backbone
        self.encoder = getattr(backbone, "text_encoder", None)
        per_person = stage.scope == "person"
        self.prompt_of_proxy = labels.person_of_proxy if per_person else torch.arange(labels.num_proxies)
        self.compares_in_cameras = not per_person
        self.prompts: Prompts | None = None

    def require(self, term: str) -> None:
        """Says that a term needs text.

        Raises:
            CCAFLError: the backbone has no text encoder.
        """
        if self.encoder is None:
            raise CCAFLError(
                f"The term {term!r} compares images with text, but {type(self.backbone).__name__} has no text encoder: "
                f"set model.name to one of {', '.join(BACKBONES)} (built with loss 'ccafl'), or switch the "
                "text part off (ccafl.terms.icdl.weight_alignment 0, ccafl.terms.alignment.enabled False)."
            )

    def require_stage1(self, term: str, epochs: int) -> None:
        """Stage 1 comes before the first epoch: later it would see another encoder.

        Args:
            term: that needs text.
            epochs: of the checkpoint that the run goes on from.

        Raises:
            CCAFLError: its prompts have not been trained, or it had none.
        """
        if self.is_open:
            raise CCAFLError(
                f"The checkpoint of epoch {epochs} has no prompts that stage 1 has trained, but {term!r} compares "
                "images with text; go on from a run that had stage 1, begin anew, or switch the text off."
            )

    def make_prompts(self, seed: int, prompt_length: int) -> Prompts:
        """New prompts of so many learnable tokens for every proxy (or person)."""
        start = generator(seed, "prompts")
        count = int(self.prompt_of_proxy.max()) + 1
        learner = PromptLearner(count, self.encoder, prompt_length, generator=start)
        self.prompts = Prompts(learner, self.encoder.embed_dim).to(self.device)
        self.encoder.to(self.device)
        return self.prompts

    @property
    def is_open(self) -> bool:
        """True if there are prompts that stage 1 has not trained yet."""
        return self.prompts is not None and not bool(self.prompts.learned)

    @property
    def of_proxies(self) -> Tensor | None:
        """(N, E) float32, text feature of every proxy; None without prompts."""
        return None if self.prompts is None else self.prompts.features[self.prompt_of_proxy.to(self.device)]

    def learn(self, engine: ImageCCAFLEngine) -> None:
        """Runs stage 1 on the engine's training images and keeps the text features."""
        started = time.time()
        print("=> Stage 1: learning prompts")
        engine.set_model_mode("eval")
        embeddings = engine.epoch_start.images.encode(self.backbone.image_embedding, self.device)
        order = self.labels.path_order
        proxies = self.labels.proxy_of_image[order]
        cameras = self.labels.camera_of_image[order].to(self.device) if self.compares_in_cameras else None

        def report(epoch: int, loss: float, rate: float, seconds: float) -> None:
            print(
                f"stage 1 epoch: [{epoch + 1}/{self.stage.epochs}]\ttime {seconds:.3f}\tloss {loss:.4f}\tlr {rate:.6f}"
            )
            engine.writer.add_scalar("Stage1/loss", loss, epoch)
            engine.writer.add_scalar("Stage1/lr", rate, epoch)

        learn_prompts(
            self.prompts.learner,
            self.encoder,
            embeddings,
            self.prompt_of_proxy[proxies].to(self.device),
            cameras,
            self.stage,
            engine.seed,
            report,
        )
        self.prompts.features.copy_(self.prompts.learner.all_features(self.encoder))
        self.prompts.learned.fill_(True)
        print(f"=> Stage 1 took {time.time() - started:.1f} s")
