"""MEGABYTE in PyTorch, both variants, as a PyTorch user would write it. Parameter names are the reference's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEGABYTE = "megabyte"
IN_ACTION = "megabyte_in_action"


@dataclass(frozen=True)
class Config:
    """Sizes of a model, under the names of config.json."""

    variant: str
    V: int
    P: int
    D_G: int
    D_L: int
    T_MAX: int | None
    g_nlayers: int
    g_nheads: int
    l_nlayers: int
    l_nheads: int
    initializer_range: float
    pad_id: int
    eos_id: int

    @staticmethod
    def read(path: Path) -> Config:
        values = json.loads(path.read_text())
        names = {field.name for field in fields(Config)}
        if values.keys() != names:
            raise ValueError(f"{path} is not a model configuration: unknown fields {sorted(values.keys() - names)}, "
                             f"missing fields {sorted(names - values.keys())}")
        return Config(**values)

    @staticmethod
    def preset(name: str, variant: str) -> Config:
        patch, g_embedding, local, t_max, g_layers, g_heads, l_layers, l_heads = PRESETS[name]
        return Config(variant, 512, patch, g_embedding, local, t_max, g_layers, g_heads, l_layers, l_heads,
                      0.02, 257, 258)

    @property
    def global_size(self) -> int:
        return self.P * self.D_G


# P, D_G, D_L, T_MAX, g_nlayers, g_nheads, l_nlayers, l_nheads; the same as megabyte4j's
PRESETS = {
    "tiny": (4, 16, 64, 1024, 2, 4, 2, 4),
    "small": (8, 32, 128, 2048, 4, 4, 2, 4),
    "megabyte-130m": (8, 96, 512, 2048, 12, 12, 6, 8),
    "benchmark": (8, 128, 256, 2048, 12, 16, 6, 4),
}


@lru_cache(maxsize=8)
def attention_bias(heads: int, length: int, alibi: bool, device: torch.device) -> Tensor:
    """What is added to the scores, [query, head, key]: -inf for later keys, for ALiBi m_h * (key - query) else."""
    position = torch.arange(length, device=device)
    distance = (position[None, None, :] - position[:, None, None]).float()
    head = torch.arange(1, heads + 1, device=device)
    slopes = 2.0 ** (-8.0 * head / heads) if alibi else torch.zeros(heads, device=device)
    return (slopes[None, :, None] * distance).masked_fill(distance > 0, float("-inf"))


class Attention(nn.Module):
    """Causal attention whose query heads share one key and one value head (Shazeer 2019).

    The heads of a position are further rows of one matrix, so scores and output are one batched product each and
    nothing is transposed. On the CPU at the timed shapes this is as fast as scaled_dot_product_attention in the
    global model and faster in the local one, where sequences are P long and there are many. `fused` takes
    scaled_dot_product_attention all the same, in the same form, so that on a GPU no matrix of scores is in memory.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.fused = False
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * (dim // heads), bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor, cache: Tensor | None, past: int) -> Tensor:
        batch, length, dim = x.shape
        x = self.norm(x)
        q = self.to_q(x).view(batch, length * self.heads, -1)
        kv = self.to_kv(x)
        if cache is not None:
            cache[:, past:past + length] = kv
            kv = cache[:, :past + length]
        k, v = kv.chunk(2, dim=-1)
        if self.fused:
            # As a view, one bias serves the whole batch.
            mask = bias.to(q.dtype).expand(batch, 1, -1, -1)
            out = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], attn_mask=mask)
        else:
            scores = torch.baddbmm(bias.to(q.dtype), q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
            out = torch.bmm(scores.softmax(-1), v)
        return self.to_out(out.reshape(batch, length, dim))


class Transformer(nn.Module):
    def __init__(self, layers: int, dim: int, heads: int, alibi: bool):
        super().__init__()
        self.heads = heads
        self.alibi = alibi
        self.layers = nn.ModuleList(
            nn.ModuleList([
                Attention(dim, heads),
                # Identity stands where the reference has its dropout, and keeps the parameter names.
                nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(),
                              nn.Linear(4 * dim, dim)),
            ])
            for _ in range(layers))

    def forward(self, x: Tensor, caches: list[Tensor] | None = None, past: int = 0) -> Tensor:
        """x [batch, length, dim]: the positions from `past` on; what is before them lies in the caches."""
        end = past + x.shape[1]
        bias = attention_bias(self.heads, caches[0].shape[1] if caches else end, self.alibi, x.device)
        bias = bias[past:end, :, :end].reshape(-1, end)
        for i, (attention, feed_forward) in enumerate(self.layers):
            x = x + attention(x, bias, caches[i] if caches else None, past)
            x = x + feed_forward(x)
        return x

    def new_caches(self, batch: int, capacity: int) -> list[Tensor]:
        """Keys and values of each layer, [batch, capacity, 2 * head size]."""
        return [attention.to_kv.weight.new_zeros(batch, capacity, attention.to_kv.out_features)
                for attention, _ in self.layers]


class Megabyte(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        c = self.config = config
        alibi = c.variant == IN_ACTION
        if c.variant == IN_ACTION:
            self.to_embed = nn.Embedding(c.V, c.D_G)
            self.to_l_embed = nn.Linear(c.D_G, c.D_L)
        else:
            self.g_embedder = nn.Embedding(c.V, c.D_G)
            self.g_pos_embedder = nn.Embedding(c.T_MAX, c.D_G)
            self.l_embedder = nn.Embedding(c.V, c.D_L)
        self.g_transformer = Transformer(c.g_nlayers, c.global_size, c.g_nheads, alibi)
        self.gl_linear = nn.Sequential(nn.Unflatten(-1, (c.P, c.D_G)), nn.Linear(c.D_G, c.D_L))
        self.l_transformer = Transformer(c.l_nlayers, c.D_L, c.l_nheads, alibi)
        self.to_logits = nn.Linear(c.D_L, c.V)
        self.apply(self._initialize)

    def use_fused_attention(self, fused: bool) -> Megabyte:
        for module in self.modules():
            if isinstance(module, Attention):
                module.fused = fused
        return self

    def _initialize(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0.0, self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B, T] to logits [B, T, V]; those at t are for ids[t]."""
        seen = self.patches_before(ids[:, :-self.config.P])
        local = self.global_model(seen).flatten(0, 1)
        before = self.bytes_before(ids[:, :-1]).view(-1, self.config.P)
        return self.local_model(local, before).view(*ids.shape, -1)

    def patches_before(self, ids: Tensor) -> Tensor:
        """What the global model sees: ids shifted right by one patch."""
        return F.pad(ids, (self.config.P, 0), value=self.config.pad_id)

    def bytes_before(self, ids: Tensor) -> Tensor:
        """What the local model sees: ids shifted right by one, in `megabyte` without looking across patch borders."""
        before = F.pad(ids, (1, 0), value=self.config.pad_id)
        if self.config.variant == MEGABYTE:
            before[:, ::self.config.P] = self.config.pad_id
        return before

    def global_model(self, seen: Tensor, caches: list[Tensor] | None = None, past: int = 0) -> Tensor:
        """seen [B, K*P], the patches from number `past` on, to [B, K, P, D_L]."""
        if self.config.variant == IN_ACTION:
            x = self.to_embed(seen)
        else:
            first = past * self.config.P
            x = self.g_embedder(seen) + self.g_pos_embedder.weight[first:first + seen.shape[1]]
        x = x.view(len(seen), -1, self.config.global_size)
        return self.gl_linear(self.g_transformer(x, caches, past))

    def local_model(self, x: Tensor, before: Tensor, caches: list[Tensor] | None = None, past: int = 0) -> Tensor:
        """x [N, n, D_L] from the global model and the bytes before [N, n] to logits [N, n, V]."""
        if self.config.variant == IN_ACTION:
            x = x + self.to_l_embed(self.to_embed(before))
        else:
            x = x + self.l_embedder(before)
        return self.to_logits(self.l_transformer(x, caches, past))

    def loss(self, logits: Tensor, ids: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=self.config.pad_id)


@torch.inference_mode()
def generate(model: Megabyte, ids: Tensor, alignment: str) -> Iterator[tuple[int, Tensor]]:
    """Greedy continuation of ids [1, t] as the reference does it: everything again for each byte.

    Yields each new id and the logits [V] it was taken from.
    """
    c = model.config
    while True:
        length = ids.shape[1]
        if alignment == "reference":
            padded = F.pad(ids, ((c.P - 1 - length) % c.P, 1), value=c.pad_id)
            logits = model(padded)[0, -1]
        else:
            padded = F.pad(ids, (0, c.P - length % c.P), value=c.pad_id)
            logits = model(padded)[0, length]
        chosen = logits.argmax()
        ids = torch.cat([ids, chosen.view(1, 1)], dim=1)
        yield chosen.item(), logits


@torch.inference_mode()
def generate_cached(model: Megabyte, ids: Tensor, capacity: int) -> Iterator[tuple[int, Tensor]]:
    """The same continuation in the `aligned` alignment with key/value caches: the global model runs once for each
    patch, the local model for one position at a time. `capacity` is the longest sequence in bytes."""
    c = model.config
    global_caches = model.g_transformer.new_caches(1, capacity // c.P + 1)
    local_caches = model.l_transformer.new_caches(1, c.P)
    patch = ids.shape[1] // c.P
    local = model.global_model(model.patches_before(ids[:, :patch * c.P]), global_caches)[:, -1]
    done = 0  # positions of this patch that the local caches hold
    while True:
        position = ids.shape[1] % c.P
        before = model.bytes_before(ids)[:, patch * c.P + done:]
        logits = model.local_model(local[:, done:position + 1], before, local_caches, done)[0, -1]
        chosen = logits.argmax()
        ids = torch.cat([ids, chosen.view(1, 1)], dim=1)
        yield chosen.item(), logits
        done = position + 1
        if done == c.P:
            patch, done = patch + 1, 0
            local = model.global_model(ids[:, -c.P:], global_caches, patch)[:, 0]


def training_flops(c: Config, batch: int, length: int) -> int:
    """FLOPs of a training step: three times the forward pass's, which are 2 * rows * in * out for a Linear layer and
    4 * dim for each pair of query and key that the causal mask leaves. Nothing else counts."""

    def stack(layers: int, heads: int, dim: int, sequences: int, positions: int) -> int:
        linear = 2 * sequences * positions * dim * (10 * dim + 2 * (dim // heads))
        attention = 4 * dim * sequences * positions * (positions + 1) // 2
        return layers * (linear + attention)

    rows, patches = batch * length, length // c.P
    embedded = c.D_G if c.variant == IN_ACTION else 0
    forward = (stack(c.g_nlayers, c.g_nheads, c.global_size, batch, patches)
               + 2 * rows * c.D_G * c.D_L + 2 * rows * embedded * c.D_L
               + stack(c.l_nlayers, c.l_nheads, c.D_L, batch * patches, c.P)
               + 2 * rows * c.D_L * c.V)
    return 3 * forward
