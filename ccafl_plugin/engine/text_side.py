"""The text side of a run: prompts, their training in stage 1, and the text features that stage 2 reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.extraction import TrainingImages
from ccafl_plugin.engine.label_filter import Judged
from ccafl_plugin.engine.stage1 import PromptStage, learn_prompts
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.models import BACKBONES, PromptLearner
from ccafl_plugin.models.prompts import TextEncoder
from ccafl_plugin.utils.distributed import from_first, send_tensors
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator


class Prompts(nn.Module):
    """The result of stage 1: the prompts' vectors and one text feature per prompt.

    Both are in the checkpoint, so that a resumed run does not repeat stage 1.
    """

    learner: PromptLearner
    features: Tensor  # (prompts, E) float32
    learned: Tensor  # () bool

    def __init__(self, learner: PromptLearner, embed_dim: int) -> None:
        super().__init__()
        self.learner = learner
        self.register_buffer("features", torch.zeros(learner.num_prompts, embed_dim))
        self.register_buffer("learned", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def keep_features(self, encoder: TextEncoder) -> None:
        """Computes the text features of the current prompts, at the end of stage 1."""
        self.features.copy_(self.learner.all_features(encoder))
        self.learned.fill_(True)


class TextSide:
    """Prompts and text features of a run; for a backbone without text encoder, only its errors are used.

    Args:
        backbone: the model without wrappers.
        stage: settings of stage 1.
        labels: labels of the training set.
        supervision: decides whether prompts may be per person.
        device: device of the model.

    Raises:
        CCAFLError: the scope ``person`` without full supervision.
    """

    def __init__(
        self,
        backbone: Any,
        stage: PromptStage,
        labels: ProxyLabels,
        supervision: Supervision,
        device: torch.device,
    ) -> None:
        stage.check_supervision(supervision.is_full)
        self.stage = stage
        self.labels = labels
        self.device = device
        self.backbone = backbone
        encoder = getattr(backbone, "text_encoder", None)
        self.encoder: TextEncoder | None = encoder if isinstance(encoder, TextEncoder) else None
        per_person = stage.scope == "person"
        self.prompt_of_proxy = labels.person_of_proxy if per_person else torch.arange(labels.num_proxies)
        self.compares_in_cameras = not per_person
        self.prompts: Prompts | None = None

    def require(self, term: str) -> None:
        """Checks that the backbone has a text encoder, for a term that needs text.

        Raises:
            CCAFLError: the backbone has no text encoder.
        """
        if self.encoder is None:
            raise CCAFLError(
                f"The term {term!r} compares images with text, but {type(self.backbone).__name__} has no text encoder "
                "for prompts: "
                f"set model.name to one of {', '.join(BACKBONES)} (built with loss 'ccafl'), or switch the "
                "text part off (ccafl.terms.icdl.weight_alignment 0, ccafl.terms.alignment.enabled False)."
            )

    def require_stage1(self, term: str, epochs: int) -> None:
        """Checks that a checkpoint has trained prompts, because stage 1 is only possible before the first epoch.

        Args:
            term: name of a term that needs text.
            epochs: number of finished epochs in the checkpoint.

        Raises:
            CCAFLError: the checkpoint has no prompts, or stage 1 has not trained them.
        """
        if self.is_open:
            raise CCAFLError(
                f"The checkpoint of epoch {epochs} has no prompts trained in stage 1, but {term!r} compares images "
                "with text. Continue from a run with stage 1, start a new run, or switch the text off."
            )

    def make_prompts(self, seed: int, prompt_length: int) -> Prompts:
        """Creates a prompt for every proxy (or person).

        Args:
            seed: seed of the run.
            prompt_length: number of learnable tokens per prompt.
        """
        encoder = self._required_encoder()
        count = int(self.prompt_of_proxy.max()) + 1
        learner = PromptLearner(count, encoder, prompt_length, generator=generator(seed, "prompts"))
        self.prompts = Prompts(learner, encoder.embed_dim).to(self.device)
        return self.prompts

    @property
    def is_open(self) -> bool:
        """True if there are prompts that stage 1 has not trained yet."""
        return self.prompts is not None and not bool(self.prompts.learned)

    @property
    def of_proxies(self) -> Tensor | None:
        """(N, E) float32, text feature of every proxy; None without prompts."""
        return None if self.prompts is None else self.prompts.features[self.prompt_of_proxy.to(self.device)]

    def learn(
        self,
        images: TrainingImages,
        seed: int,
        write: Callable[[str, float, int], object] = lambda *_: None,
        judged: Judged | None = None,
    ) -> None:
        """Runs stage 1 on the training images and stores the text features. The backbone is in eval mode afterwards.

        Args:
            images: the training images with the test transform.
            seed: seed of the run.
            write: function that gets (name, value, epoch) of each logged number.
            judged: the images that are used and their labels; None: all.
        """
        encoder, prompts = self._required_encoder(), self.prompts
        if prompts is None:
            raise RuntimeError("TextSide.learn before make_prompts")
        started = time.time()
        print("=> Stage 1: learning prompts")
        self.backbone.eval()
        embeddings = images.encode(self.backbone.image_embedding, self.device)
        order = self.labels.path_order
        proxies = self.labels.proxy_of_image[order]
        if judged is not None:
            embeddings, order, proxies = embeddings[judged.kept], order[judged.kept.cpu()], judged.proxies.cpu()
        cameras = self.labels.camera_of_image[order] if self.compares_in_cameras else None

        def report(epoch: int, loss: float, rate: float, seconds: float) -> None:
            print(
                f"stage 1 epoch: [{epoch + 1}/{self.stage.epochs}]\ttime {seconds:.3f}\tloss {loss:.4f}\tlr {rate:.6f}"
            )
            write("Stage1/loss", loss, epoch)
            write("Stage1/lr", rate, epoch)

        prompt_of_image = self.prompt_of_proxy[proxies]

        def learned() -> None:
            home = encoder.device
            encoder.to(self.device)
            learn_prompts(prompts.learner, encoder, embeddings, prompt_of_image, cameras, self.stage, seed, report)
            prompts.keep_features(encoder)
            encoder.to(home)  # stage 2 only reads the features

        from_first(learned)
        send_tensors(prompts.state_dict().values())
        print(f"=> Stage 1 took {time.time() - started:.1f} s")

    def _required_encoder(self) -> TextEncoder:
        if self.encoder is None:
            raise RuntimeError(f"{type(self.backbone).__name__} has no text encoder; TextSide.require says so to users")
        return self.encoder
