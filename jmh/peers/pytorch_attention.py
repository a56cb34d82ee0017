"""Ways to compute causal multi-query attention in PyTorch. Which is fastest depends on the shape and the card."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION,
            "cudnn": SDPBackend.CUDNN_ATTENTION, "math": SDPBackend.MATH}


class Shape(NamedTuple):
    """What all layers of a stack share: positions `past` to `end` ask, those before `end` answer."""

    heads: int
    size: int  # width of a head
    past: int
    end: int
    capacity: int  # positions that there will ever be
    alibi: bool


class Way(NamedTuple):
    """`prepare` makes once what the layers of a stack share, on a device in a type; `attend` computes with it:
    q [batch, n, heads, size], k and v [batch, end, size] to [batch, n, heads, size]."""

    prepare: Callable[[Shape, torch.device, torch.dtype], Any]
    attend: Callable[[Tensor, Tensor, Tensor, Any], Tensor]
    caches: bool = True  # whether it works where positions lie before those that ask


def slopes(heads: int, device: torch.device) -> Tensor:
    """Of ALiBi; Press et al. 2021."""
    return 2.0 ** (-8.0 * torch.arange(1, heads + 1, device=device) / heads)


@lru_cache(maxsize=8)
def all_biases(heads: int, length: int, alibi: bool, device: torch.device) -> Tensor:
    """What is added to the scores, [query, head, key]: -inf for later keys, for ALiBi m_h * (key - query) else."""
    position = torch.arange(length, device=device)
    distance = (position[None, None, :] - position[:, None, None]).float()
    slope = slopes(heads, device) if alibi else torch.zeros(heads, device=device)
    return (slope[None, :, None] * distance).masked_fill(distance > 0, float("-inf"))


def biases(shape: Shape, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[n, heads, end]"""
    every = all_biases(shape.heads, max(shape.capacity, shape.end), shape.alibi, device)
    return every[shape.past:shape.end, :, :shape.end].to(dtype)


def biases_of_rows(shape: Shape, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[n * heads, end]"""
    return biases(shape, device, dtype).reshape(-1, shape.end)


def biases_of_heads(shape: Shape, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[heads, n, end]"""
    return biases(shape, device, dtype).transpose(0, 1).contiguous()


def products(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """The heads of a position are further rows of one matrix, since all share keys and values: two products."""
    rows = q.reshape(len(q), -1, q.shape[-1])
    scores = torch.baddbmm(bias.to(q.dtype), rows, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(-1), v).view(q.shape)


def rows(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """The same as one fused kernel, so that no matrix of scores is in memory."""
    mask = bias.to(q.dtype).expand(len(q), 1, -1, -1)  # as a view, one serves the whole batch
    out = F.scaled_dot_product_attention(q.reshape(len(q), 1, -1, q.shape[-1]), k[:, None], v[:, None], attn_mask=mask)
    return out.reshape(q.shape)


def heads(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """As if every head had keys and values of its own, expanded as views."""
    batch, _, count, _ = q.shape
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k[:, None].expand(-1, count, -1, -1), v[:, None].expand(-1, count, -1, -1),
        attn_mask=bias.to(q.dtype).expand(batch, -1, -1, -1))
    return out.transpose(1, 2)


def sums(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Element by element, for torch.compile to fuse: where sequences are so short that no product pays."""
    scores = (q[:, :, None] * k[:, None, :, None]).sum(-1, dtype=torch.float32) * q.shape[-1] ** -0.5
    weights = (scores + bias.transpose(1, 2)).softmax(2).to(q.dtype)
    return (weights[..., None] * v[:, None, :, None]).sum(2)


class Columns(NamedTuple):
    """Of queries [heads, 8] and of keys [end, 8]: their products are the ALiBi bias times the root of the head size."""

    of_queries: Tensor
    of_keys: Tensor


def columns_of(shape: Shape, device: torch.device, dtype: torch.dtype) -> Columns | None:
    """softmax(s + m_h (k - q)) = softmax(s + m_h k): the bias is a product of head and key, so it fits into further
    columns of both. A slope in bf16 is the sum of three numbers, a position below 65,536 of two."""
    if not shape.alibi:
        return None
    rest = slopes(shape.heads, device) * shape.size ** 0.5
    parts = []
    for _ in range(3):
        parts.append(rest.to(dtype))
        rest = rest - parts[-1].float()
    position = torch.arange(shape.end, device=device)
    low = position % 256
    none = torch.zeros_like(parts[0])
    nothing = torch.zeros_like(low)
    return Columns(torch.stack(parts * 2 + [none] * 2, -1),
                   torch.stack([position - low] * 3 + [low] * 3 + [nothing] * 2, -1).to(dtype))


def causal(q: Tensor, k: Tensor, v: Tensor, extra: Columns | None) -> Tensor:
    """The causal mask alone, which every kernel knows: no matrix of biases is read, half the work is left out. ALiBi is
    in further columns, see columns_of."""
    batch, n, count, size = q.shape
    if extra is not None:
        q = torch.cat([q, extra.of_queries.to(q.dtype).expand(batch, n, -1, -1)], -1)
        k = torch.cat([k, extra.of_keys.to(k.dtype).expand(batch, -1, -1)], -1)
        v = F.pad(v, (0, extra.of_keys.shape[-1]))
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k[:, None].expand(-1, count, -1, -1),
                                         v[:, None].expand(-1, count, -1, -1), is_causal=True, scale=size ** -0.5)
    return out[..., :size].transpose(1, 2)


class Flex(NamedTuple):
    slopes: Tensor | None
    mask: Any


def flex_of(shape: Shape, device: torch.device, _dtype: torch.dtype) -> Flex:
    mask = create_block_mask(lambda b, h, query, key: key <= query, None, None, shape.end, shape.end, device=device)
    return Flex(slopes(shape.heads, device) if shape.alibi else None, mask)


def flex(q: Tensor, k: Tensor, v: Tensor, prepared: Flex) -> Tensor:
    """The kernel that torch.compile generates for a bias written as a function."""
    slope = prepared.slopes

    def biased(score: Tensor, _batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + slope[head] * (key - query)

    out = flex_attention(q.transpose(1, 2), k[:, None], v[:, None], None if slope is None else biased,
                         block_mask=prepared.mask, enable_gqa=True)
    return out.transpose(1, 2)


FORMS = {
    "products": Way(biases_of_rows, products),
    "rows": Way(biases_of_rows, rows),
    "heads": Way(biases_of_heads, heads),
    "sums": Way(biases, sums),
    "causal": Way(columns_of, causal, caches=False),
    "flex": Way(flex_of, flex, caches=False),
}


def named(name: str) -> Way:
    """A form, or FORM:BACKEND for one of the kernels of scaled_dot_product_attention."""
    form, _, backend = name.partition(":")
    if form not in FORMS or backend and backend not in BACKENDS:
        raise ValueError(f"{name} is no way to compute attention; forms are {', '.join(FORMS)}, backends "
                         f"{', '.join(BACKENDS)}, together FORM:BACKEND")
    way = FORMS[form]
    if not backend:
        return way

    def attend(q: Tensor, k: Tensor, v: Tensor, prepared: Any) -> Tensor:
        with sdpa_kernel(BACKENDS[backend]):
            return way.attend(q, k, v, prepared)

    return way._replace(attend=attend)


def candidates(short: bool) -> list[str]:
    """What is worth timing for a stack that torch.compile compiles, the likeliest first."""
    masked = ["rows:efficient", "rows:cudnn", "heads:cudnn", "heads:efficient"]
    if short:
        return ["sums", "products", *masked, "rows:math"]
    return ["causal:flash", "causal:cudnn", "flex", *masked, "products", "rows:math"]
