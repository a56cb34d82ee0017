"""Greedy generation in PyTorch: everything again for each byte, with caches, and a patch as one CUDA graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytorch_attention import slopes
from pytorch_model import IN_ACTION, Attention, Megabyte, Transformer


@torch.inference_mode()
def generate(model: Megabyte, ids: Tensor, alignment: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Continuation of ids [B, t] as the reference does it: everything again for each byte.

    Yields the new ids [B] and the logits [B, V] they were taken from.
    """
    c = model.config
    while True:
        length = ids.shape[1]
        if alignment == "reference":
            padded = F.pad(ids, ((c.P - 1 - length) % c.P, 1), value=c.pad_id)
            logits = model(padded)[:, -1]
        else:
            padded = F.pad(ids, (0, c.P - length % c.P), value=c.pad_id)
            logits = model(padded)[:, length]
        chosen = logits.argmax(-1)
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        yield chosen, logits


@torch.inference_mode()
def generate_cached(model: Megabyte, ids: Tensor, capacity: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same continuation in the `aligned` alignment with key/value caches: the global model runs once for each
    patch, the local model for one position at a time. `capacity` is the longest sequence in bytes."""
    c = model.config
    global_caches = model.g_transformer.new_caches(len(ids), capacity // c.P + 1)
    local_caches = model.l_transformer.new_caches(len(ids), c.P)
    patch = ids.shape[1] // c.P
    local = model.global_model(model.patches_before(ids[:, :patch * c.P]), global_caches)[:, -1]
    done = 0  # positions of this patch that the local caches hold
    while True:
        position = ids.shape[1] % c.P
        before = model.bytes_before(ids)[:, patch * c.P + done:]
        logits = model.local_model(local[:, done:position + 1], before, local_caches, done)[:, -1]
        chosen = logits.argmax(-1)
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        yield chosen, logits
        done = position + 1
        if done == c.P:
            patch, done = patch + 1, 0
            local = model.global_model(ids[:, -c.P:], global_caches, patch)[:, 0]


def step_of_layer(attention: Attention, feed_forward: nn.Module, to_qkv: Tensor, x: Tensor, cache: Tensor,
                  position: Tensor, bias: Tensor, as_sums: bool) -> Tensor:
    """One position of each sequence through a layer. x [B, dim], cache [B, capacity, 2 * head size], position [1],
    bias [heads, capacity] with -inf at positions that are not there yet. Shapes do not depend on the position."""
    q, kv = F.linear(attention.norm(x), to_qkv).split([x.shape[1], cache.shape[2]], dim=-1)
    q = q.view(len(x), attention.heads, -1)
    cache.index_copy_(1, position, kv[:, None])
    k, v = cache.chunk(2, dim=-1)
    if as_sums:
        scores = (q[:, :, None] * k[:, None]).sum(-1, dtype=torch.float32) * q.shape[-1] ** -0.5
        weights = (scores + bias).softmax(-1).to(q.dtype)
        out = (weights[..., None] * v[:, None]).sum(2)
    else:
        mask = bias.to(q.dtype).expand(len(x), 1, -1, -1)
        out = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], attn_mask=mask)
    x = x + attention.to_out(out.reshape(x.shape))
    return x + feed_forward(x)


def layers_of(transformer: Transformer, caches: list[Tensor]) -> list[tuple[Attention, nn.Module, Tensor, Tensor]]:
    """What a step through each layer needs; queries, keys and values come of one product."""
    return [(attention, feed_forward, torch.cat([attention.to_q.weight, attention.to_kv.weight]), cache)
            for (attention, feed_forward), cache in zip(transformer.layers, caches)]


class PatchDecoder:
    """Static caches, and a patch as one function of them without arguments: the global model's step, then P steps of
    the local model, each choosing its byte on the device. All state lies in tensors that stay where they are, nothing
    waits for the device and no shape changes, so the function can be captured as a CUDA graph."""

    def __init__(self, model: Megabyte, batch: int, capacity: int, as_sums: bool = False, compiled: bool = False):
        c = model.config
        self.model = model
        device = model.to_logits.weight.device
        patches = 8 * (capacity // c.P // 8 + 1)  # masks with rows of 16 bytes are taken as they are
        self.patches = torch.arange(patches, device=device)
        # A tensor of its own for each position, so that all are aligned alike.
        self.positions = [torch.full((1,), i, device=device) for i in range(c.P)]
        self.global_caches = model.g_transformer.new_caches(batch, patches)
        self.local_caches = model.l_transformer.new_caches(batch, c.P)
        self.global_layers = layers_of(model.g_transformer, self.global_caches)
        self.local_layers = layers_of(model.l_transformer, self.local_caches)
        self.local_biases = [self.bias(model.l_transformer, torch.arange(c.P, device=device), i)
                             for i in self.positions]
        self.ids = torch.full((batch, c.P), c.pad_id, device=device)  # of the patch before, then of the new one
        self.patch = torch.zeros(1, dtype=torch.long, device=device)
        self.forced = torch.zeros((batch, c.P), dtype=torch.long, device=device)
        self.given = torch.zeros(1, dtype=torch.long, device=device)  # so many ids of the patch come from `forced`
        self.logits = torch.zeros((batch, c.P, c.V), dtype=model.to_logits.weight.dtype, device=device)
        compile_ = partial(torch.compile, mode="max-autotune-no-cudagraphs", dynamic=False) if compiled else lambda f: f
        step = partial(step_of_layer, as_sums=as_sums)
        self.global_step, self.local_step = compile_(step), compile_(step)
        self.begin, self.start, self.choose = compile_(self._begin), compile_(self._start), compile_(self._choose)

    @staticmethod
    def bias(transformer: Transformer, positions: Tensor, position: Tensor) -> Tensor:
        """[heads, positions]: what is added to the scores of a query at `position`."""
        distance = (positions - position).float()
        slope = slopes(transformer.heads, positions.device) if transformer.alibi else distance.new_zeros(
            transformer.heads)
        return (slope[:, None] * distance).masked_fill(distance > 0, float("-inf"))

    def _begin(self) -> tuple[Tensor, Tensor]:
        """The global model's input [B, P*D_G] and bias."""
        m, c = self.model, self.model.config
        if c.variant == IN_ACTION:
            x = m.to_embed(self.ids)
        else:
            x = m.g_embedder(self.ids) + m.g_pos_embedder(self.patch * c.P + torch.arange(c.P, device=self.ids.device))
        return x.flatten(1), self.bias(m.g_transformer, self.patches, self.patch)

    def _start(self, x: Tensor, before: Tensor) -> Tensor:
        """x [B, D_L] from the global model and the byte before [B] to the local model's input."""
        m = self.model
        return x + (m.to_l_embed(m.to_embed(before)) if m.config.variant == IN_ACTION else m.l_embedder(before))

    def _choose(self, x: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, D_L] to logits [B, V] and ids [B]."""
        logits = self.model.to_logits(x)
        given = self.forced.index_select(1, position)[:, 0]
        return logits, torch.where(position < self.given, given, logits.argmax(-1))

    def one_patch(self, keep_logits: bool = False) -> None:
        m, c = self.model, self.model.config
        x, bias = self.begin()
        for attention, feed_forward, to_qkv, cache in self.global_layers:
            x = self.global_step(attention, feed_forward, to_qkv, x, cache, self.patch, bias)
        local = m.gl_linear(x)  # [B, P, D_L]
        before = self.ids[:, -1].clone() if c.variant == IN_ACTION else torch.full_like(self.ids[:, -1], c.pad_id)
        for i, position in enumerate(self.positions):
            x = self.start(local[:, i], before)
            for attention, feed_forward, to_qkv, cache in self.local_layers:
                x = self.local_step(attention, feed_forward, to_qkv, x, cache, position, self.local_biases[i])
            logits, before = self.choose(x, position)
            self.ids[:, i] = before
            if keep_logits:
                self.logits[:, i] = logits
        self.patch += 1
        self.given.zero_()

    def read(self, prompt: Tensor) -> None:
        """The prompt [B, t] into the caches; the next patch is the one that it ends in."""
        c = self.model.config
        whole = prompt.shape[1] // c.P
        seen = self.model.patches_before(prompt[:, :whole * c.P])
        if whole:
            self.model.g_transformer(self.model.global_input(seen[:, :-c.P], 0), self.global_caches)
        self.ids.copy_(seen[:, -c.P:])
        self.patch.fill_(whole)
        self.given.fill_(prompt.shape[1] % c.P)
        self.forced[:, :prompt.shape[1] % c.P] = prompt[:, whole * c.P:]


@torch.inference_mode()
def generate_by_patches(model: Megabyte, ids: Tensor, capacity: int, as_sums: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """What generate_cached gives, by PatchDecoder."""
    decoder = PatchDecoder(model, len(ids), capacity, as_sums)
    decoder.read(ids)
    first = ids.shape[1] % model.config.P
    while True:
        decoder.one_patch(keep_logits=True)
        for i in range(first, model.config.P):
            yield decoder.ids[:, i].clone(), decoder.logits[:, i].clone()
        first = 0
