"""CLIP's text encoder, frozen, and the learnable prompt of every proxy: ``A photo of a [X] [X] [X] [X] person.``"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.utils.errors import CCAFLError, WrongArgument
from ccafl_plugin.utils.paper_values import PROMPT_LENGTH
from ccafl_plugin.utils.ranges import check_arguments

CONTEXT_LENGTH = 77
PROMPT_BEFORE = "A photo of a"
PROMPT_AFTER = "person."
FIXED_TOKENS = 8
"""Start of text, four words, "person", ".", end of text."""


class TextEncoder(nn.Module):
    """open_clip's causal text transformer with token and positional embeddings, frozen.

    The feature of a text is its output at the end-of-text token. Attention is causal, so tokens after that token cannot
    change the feature. Inputs may therefore be cut to their own length: 12 of 77 tokens for four learnable tokens.

    Args:
        clip: an ``open_clip.CLIP``; this module takes over its text tower.

    Attributes:
        width: length of a token's embedding; 512 for OpenAI's RN50 and ViT-B/16.
        embed_dim: E, length of a text feature; 1024 for RN50, 512 for ViT-B/16.
        context_length: largest number of tokens in a text, 77.
    """

    token_embedding: nn.Embedding
    positional_embedding: nn.Parameter
    transformer: nn.Module
    ln_final: nn.Module
    text_projection: nn.Parameter
    attn_mask: Tensor

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.token_embedding = clip.token_embedding
        self.positional_embedding = clip.positional_embedding
        self.transformer = clip.transformer
        self.ln_final = clip.ln_final
        self.text_projection = clip.text_projection
        self.register_buffer("attn_mask", clip.attn_mask, persistent=False)
        self.width: int = self.token_embedding.embedding_dim
        self.embed_dim: int = self.text_projection.shape[1]
        self.context_length: int = self.positional_embedding.shape[0]
        self.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Device of the encoder."""
        return self.positional_embedding.device

    def tokenize(self, texts: list[str]) -> Tensor:
        """(n, L) int64 tokens; longer texts are cut."""
        import open_clip

        tokens: Tensor = open_clip.tokenize(texts, self.context_length)
        return tokens

    def encode(self, embeddings: Tensor, end_of_text: int | Tensor) -> Tensor:
        """Text features of token embeddings.

        Args:
            embeddings: (n, L, width) float, L <= 77; gradients flow back to them.
            end_of_text: position of the end-of-text token, one for all or (n,) int64.

        Returns:
            (n, E) float, not normalised.

        Raises:
            CCAFLError: L > 77.
        """
        length = embeddings.shape[1]
        if length > self.context_length:
            raise CCAFLError(
                f"a text of {length} tokens is too long for CLIP: it reads at most {self.context_length}. Shorten it."
            )
        hidden = embeddings + self.positional_embedding[:length]
        hidden = self.transformer(hidden, attn_mask=self.attn_mask[:length, :length])
        rows = torch.arange(len(hidden), device=hidden.device)
        features: Tensor = self.ln_final(hidden[rows, end_of_text]) @ self.text_projection
        return features

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, L) int64 tokens as open_clip's tokenizer gives them -> (n, E) float, not normalised."""
        end_of_text = tokens.argmax(dim=-1)  # the end-of-text token has the highest number in the vocabulary
        length = int(end_of_text.max()) + 1
        return self.encode(self.token_embedding(tokens[:, :length]), end_of_text)


class WholeTextEncoder(nn.Module):
    """A text encoder of open_clip that reads whole texts only: it is not causal, or has words of its own.

    Learnable prompts are not for it, since what stands behind them would change their features, and its tokens may be
    others than CLIP's. The parameters are frozen.

    Args:
        text: open_clip's text encoder, or a CLIP that is its own.
        architecture: open_clip's name, by which it knows the tokenizer.

    Attributes:
        embed_dim: E, length of a text feature.
        context_length: largest number of tokens in a text.
    """

    def __init__(self, text: Any, architecture: str) -> None:
        super().__init__()
        self.text = text
        self.architecture = architecture
        self.context_length: int = text.context_length
        projection = text.text_projection
        self.embed_dim = int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])
        self.requires_grad_(False).eval()

    def tokenize(self, texts: list[str]) -> Tensor:
        """(n, L) int64 tokens of open_clip's own tokenizer for this architecture.

        Raises:
            CCAFLError: the tokenizer is not on this machine, and can't be fetched.
        """
        import open_clip

        try:
            tokens: Tensor = open_clip.get_tokenizer(self.architecture)(texts)
        except Exception as error:  # transformers is missing, or there is no network
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise CCAFLError(
                f"text: the tokenizer of {self.architecture} can't be had ({reason}). Install transformers, and let "
                f"open_clip.get_tokenizer({self.architecture!r}) fetch it once."
            ) from error
        return tokens

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, L) int64 -> (n, E) float, not normalised."""
        found: Tensor = self.text(tokens)
        return found


class PromptLearner(nn.Module):
    """The learnable tokens of every proxy's prompt, between the fixed words of the prompt.

    Args:
        num_prompts: N, the number of prompts: one per proxy (or per person, or per other class).
        text_encoder: its token embeddings give the fixed words. The module keeps no reference to it.
        prompt_length: number of learnable tokens; 4 in the paper.
        generator: for the initial values, N(0, 0.02 ** 2); None takes torch's global one.

    Attributes:
        context: (N, prompt_length, width) parameter.

    Raises:
        CCAFLError: ``prompt_length`` is out of range.
    """

    before: Tensor
    after: Tensor

    def __init__(
        self,
        num_prompts: int,
        text_encoder: TextEncoder,
        prompt_length: int = PROMPT_LENGTH,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_prompt_length(prompt_length, text_encoder.context_length)
        context = torch.randn(num_prompts, prompt_length, text_encoder.width, generator=generator) * 0.02
        self.context = nn.Parameter(context.to(text_encoder.device))
        before, after = fixed_tokens(prompt_length)
        words = text_encoder.token_embedding.weight.detach()
        # Not persistent: they belong to CLIP and are not learned.
        self.register_buffer("before", words[before.to(words.device)].clone(), persistent=False)
        self.register_buffer("after", words[after.to(words.device)].clone(), persistent=False)

    @property
    def num_prompts(self) -> int:
        """N."""
        return self.context.shape[0]

    def embeddings(self, proxies: Tensor) -> Tensor:
        """(n,) int64 -> (n, prompt_length + 8, width): whole prompts as token embeddings, end of text last."""
        context = self.context[proxies]
        count = len(context)
        return torch.cat([self.before.expand(count, -1, -1), context, self.after.expand(count, -1, -1)], dim=1)

    def forward(self, proxies: Tensor, text_encoder: TextEncoder) -> Tensor:
        """Text features of the given proxies' prompts; a proxy that occurs several times is encoded once.

        Args:
            proxies: (n,) int64 in [0, N); on the CPU, nothing waits for a GPU.
            text_encoder: the one given at construction.

        Returns:
            (n, E) float, not normalised, with gradients for ``context``.
        """
        distinct = torch.unique(proxies, return_inverse=True)
        wanted, place = (numbers.to(self.context.device, non_blocking=True) for numbers in distinct)
        return text_encoder.encode(self.embeddings(wanted), end_of_text=-1)[place]

    @torch.no_grad()
    def all_features(self, text_encoder: TextEncoder, chunk: int = 256) -> Tensor:
        """(N, E) float, without gradients: the text features of all prompts, ``chunk`` at a time."""
        return torch.cat([self(part, text_encoder) for part in torch.arange(self.num_prompts).split(chunk)])


def check_prompt_length(prompt_length: int, context_length: int = CONTEXT_LENGTH) -> None:
    """Checks the number of learnable tokens.

    Raises:
        CCAFLError: there is no learnable token, or more than CLIP's context can hold with the fixed tokens.
    """
    longest = context_length - FIXED_TOKENS
    check_arguments(prompt_length=prompt_length)
    if prompt_length > longest:
        raise WrongArgument(
            f"{{prompt_length}}: {prompt_length} is too long: with {FIXED_TOKENS} fixed tokens the prompt has "
            f"{prompt_length + FIXED_TOKENS}, but CLIP reads {context_length}. Choose 1 to {longest}."
        )


def fixed_tokens(prompt_length: int) -> tuple[Tensor, Tensor]:
    """int64 tokens before and after the learnable ones, start and end of text included."""
    import open_clip

    placeholders = " ".join("X" * prompt_length)
    tokens = open_clip.tokenize([f"{PROMPT_BEFORE} {placeholders} {PROMPT_AFTER}"])[0]
    tokens = tokens[: int(tokens.argmax()) + 1]
    if len(tokens) != prompt_length + FIXED_TOKENS:
        raise RuntimeError(f"the prompt has {len(tokens)} tokens instead of {prompt_length + FIXED_TOKENS}")
    return tokens[:5], tokens[5 + prompt_length :]
