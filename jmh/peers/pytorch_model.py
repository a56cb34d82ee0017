"""MEGABYTE in PyTorch, both variants, as a PyTorch user would write it. Parameter names are the reference's."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytorch_attention import FORMS, Shape, Way, named

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

    def with_patch_size(self, patch: int) -> Config:
        """The same model with patches of another size, its global model as wide as before."""
        if self.global_size % patch:
            raise ValueError(f"a patch of {patch} bytes does not divide the global width {self.global_size}")
        return replace(self, P=patch, D_G=self.global_size // patch)

    @property
    def global_size(self) -> int:
        return self.P * self.D_G


# P, D_G, D_L, T_MAX, g_nlayers, g_nheads, l_nlayers, l_nheads; the same as megabyte4j's
PRESETS = {
    "tiny": (4, 16, 64, 1024, 2, 4, 2, 4),
    "small": (8, 32, 128, 2048, 4, 4, 2, 4),
    "megabyte-130m": (8, 96, 512, 2048, 12, 12, 6, 8),
    "benchmark": (8, 128, 256, 2048, 12, 16, 6, 4),
    "paper": (8, 256, 1024, 8192, 14, 16, 18, 16),
    "paper-large": (8, 256, 1024, 8192, 24, 32, 15, 16),
}


class Attention(nn.Module):
    """Causal attention whose query heads share one key and one value head (Shazeer 2019)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * (dim // heads), bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, way: Way, prepared: Any, cache: Tensor | None = None, past: int = 0) -> Tensor:
        batch, length, dim = x.shape
        x = self.norm(x)
        q = self.to_q(x).view(batch, length, self.heads, -1)
        kv = self.to_kv(x)
        if cache is not None:
            cache[:, past:past + length] = kv
            kv = cache[:, :past + length]
        k, v = kv.chunk(2, dim=-1)
        return self.to_out(way.attend(q, k, v, prepared).reshape(batch, length, dim))


def layer(attention: Attention, feed_forward: nn.Module, x: Tensor, way: Way, prepared: Any,
          cache: Tensor | None = None, past: int = 0) -> Tensor:
    x = x + attention(x, way, prepared, cache, past)
    return x + feed_forward(x)


class Transformer(nn.Module):
    def __init__(self, layers: int, dim: int, heads: int, alibi: bool):
        super().__init__()
        self.heads = heads
        self.size = dim // heads
        self.alibi = alibi
        self.way = FORMS["products"]
        self.prepared: Any = None
        self.layer = layer  # or the same, compiled
        self.layers = nn.ModuleList(
            nn.ModuleList([
                Attention(dim, heads),
                # Identity stands where the reference has its dropout, and keeps the parameter names.
                nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(),
                              nn.Linear(4 * dim, dim)),
            ])
            for _ in range(layers))

    def prepare(self, length: int, device: torch.device, dtype: torch.dtype) -> None:
        """From now on all sequences have this length."""
        self.prepared = self.way.prepare(self.shape(0, length, length), device, dtype)

    def shape(self, past: int, end: int, capacity: int) -> Shape:
        return Shape(self.heads, self.size, past, end, capacity, self.alibi)

    def forward(self, x: Tensor, caches: list[Tensor] | None = None, past: int = 0) -> Tensor:
        """x [batch, length, dim]: the positions from `past` on; what is before them lies in the caches."""
        way = self.way if caches is None or self.way.caches else FORMS["products"]
        prepared = self.prepared
        if prepared is None or caches:
            end = past + x.shape[1]
            prepared = way.prepare(self.shape(past, end, caches[0].shape[1] if caches else end), x.device, x.dtype)
        for i, (attention, feed_forward) in enumerate(self.layers):
            x = self.layer(attention, feed_forward, x, way, prepared, caches[i] if caches else None, past)
        return x

    def new_caches(self, batch: int, capacity: int) -> list[Tensor]:
        """Keys and values of each layer, [batch, capacity, 2 * head size]."""
        return [attention.to_kv.weight.new_zeros(batch, capacity, attention.to_kv.out_features)
                for attention, _ in self.layers]


class Megabyte(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        c = self.config = config
        self.one_hot = False
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

    def use_attention(self, of_global: str, of_local: str) -> Megabyte:
        """The ways by their names; see pytorch_attention."""
        self.g_transformer.way, self.l_transformer.way = named(of_global), named(of_local)
        return self

    def prepare(self, length: int, dtype: torch.dtype) -> Megabyte:
        """From now on all sequences have this length in bytes."""
        device = self.to_logits.weight.device
        self.g_transformer.prepare(length // self.config.P, device, dtype)
        self.l_transformer.prepare(self.config.P, device, dtype)
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
        return self.gl_linear(self.g_transformer(self.global_input(seen, past * self.config.P), caches, past))

    def global_input(self, seen: Tensor, first: int) -> Tensor:
        """seen [B, K*P], the ids from position `first` on, to [B, K, P*D_G]."""
        if self.config.variant == IN_ACTION:
            x = self.rows_of(self.to_embed.weight, seen)
        else:
            positions = self.g_pos_embedder.weight[first:first + seen.shape[1]]
            x = self.rows_of(self.g_embedder.weight, seen) + positions
        return x.view(len(seen), -1, self.config.global_size)

    def local_model(self, x: Tensor, before: Tensor, caches: list[Tensor] | None = None, past: int = 0) -> Tensor:
        """x [N, n, D_L] from the global model and the bytes before [N, n] to logits [N, n, V]."""
        return self.to_logits(self.l_transformer(self.local_input(x, before), caches, past))

    def local_input(self, x: Tensor, before: Tensor) -> Tensor:
        if self.config.variant == MEGABYTE:
            return x + self.rows_of(self.l_embedder.weight, before)
        if before.numel() < self.config.V:
            return x + self.to_l_embed(self.to_embed(before))
        return x + self.rows_of(self.to_l_embed(self.to_embed.weight), before)  # fewer rows in the table than here

    def rows_of(self, table: Tensor, ids: Tensor) -> Tensor:
        """Looked up, or as a product with rows of one 1 each: then the table's gradient is a product, too, instead of
        sums that many threads add to."""
        if not self.one_hot:
            return F.embedding(ids, table)
        ones = ids[..., None] == torch.arange(len(table), device=ids.device)
        return F.linear(ones.to(table.dtype), table.t())

    def loss(self, logits: Tensor, ids: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1).float(), ids.flatten(), ignore_index=self.config.pad_id)


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
