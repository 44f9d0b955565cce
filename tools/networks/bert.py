"""BERT, the encoder of Devlin et al. 2018: words, positions and segments, layers of attention, a pooled first word."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Size:
    """How large it is; these are BERT base's."""

    words: int = 30522
    positions: int = 512
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072


class Layer(nn.Module):  # type: ignore[misc, unused-ignore]
    """Attention and a network of two layers, each with its input added behind it and normalized."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.head_width = size.width // size.heads
        self.projection = nn.Linear(size.width, 3 * size.width)
        self.joined = nn.Linear(size.width, size.width)
        self.attention_norm = nn.LayerNorm(size.width, eps=1e-12)
        self.inner = nn.Linear(size.width, size.inner)
        self.outer = nn.Linear(size.inner, size.width)
        self.norm = nn.LayerNorm(size.width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`x` [batch, words, width]; `mask` [batch, 1, 1, words], what is added to the attention's scores."""
        batch, words, width = x.shape[0], x.shape[1], x.shape[2]
        parts = self.projection(x).view(batch, words, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=mask)
        x = self.attention_norm(x + self.joined(seen.transpose(1, 2).reshape(batch, words, width)))
        result: Tensor = self.norm(x + self.outer(nn.functional.gelu(self.inner(x))))
        return result


class Bert(nn.Module):  # type: ignore[misc, unused-ignore]
    """INT64 ids, mask and segments of shape [batch, words] to FP32 states [batch, words, width] and [batch, width]."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.words = nn.Embedding(size.words, size.width, padding_idx=0)
        self.positions = nn.Embedding(size.positions, size.width)
        self.segments = nn.Embedding(2, size.width)
        self.norm = nn.LayerNorm(size.width, eps=1e-12)
        self.layers = nn.ModuleList([Layer(size) for _ in range(size.layers)])
        self.pooler = nn.Linear(size.width, size.width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer's states, and the first word's behind one more layer."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.norm(self.words(input_ids) + self.positions(places) + self.segments(token_type_ids))
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -10000.0
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))
