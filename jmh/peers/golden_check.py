"""Holds the PyTorch peer against the golden data: no implementation is timed before it computes what it should."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pytorch_generation import generate, generate_by_patches, generate_cached
from pytorch_model import IN_ACTION, MEGABYTE, Config, Megabyte

TENSOR_TOLERANCE = 1e-5  # ||a - b|| / ||b|| of logits and gradients
LOSS_TOLERANCE = 1e-6
CURVE_TOLERANCE = 1e-3  # absolute, on each of the first 50 losses
CURVE_END_TOLERANCE = 1e-2  # relative, on the last loss and the validation loss
OPTIMIZER_TOLERANCE = 1e-6


class Finding(NamedTuple):
    """One comparison: passed if error <= tolerance."""

    what: str
    error: float
    tolerance: float


def relative(actual: Tensor, expected: Tensor) -> float:
    """||a - b|| / ||b||, in float64; where b is 0, a must be too."""
    if actual.shape != expected.shape:
        raise ValueError(f"shape {list(actual.shape)} instead of {list(expected.shape)}")
    difference = (actual.double() - expected.double()).norm().item()
    norm = expected.double().norm().item()
    error = difference / norm if norm > 0 else difference and math.inf
    return math.inf if math.isnan(error) else error


# How the models that are checked compute; see pytorch_attention and Megabyte.rows_of.
attention = ("products", "products")
one_hot = False


def load(folder: Path) -> Megabyte:
    model = Megabyte(Config.read(folder / "config.json"))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.one_hot = one_hot
    return model.use_attention(*attention)


def check_forward_and_backward(folder: Path) -> Iterator[Finding]:
    model, expected = load(folder), load_file(folder / "io.safetensors")
    norms: dict[str, Tensor] = {}

    def keep_norms(name: str):
        def hook(_module, inputs, output) -> None:
            norms[f"{name}_in_norm"] = inputs[0].detach().norm().view(1)
            norms[f"{name}_out_norm"] = output.detach().norm().view(1)
        return hook

    model.g_transformer.register_forward_hook(keep_norms("global"))
    model.l_transformer.register_forward_hook(keep_norms("local"))
    ids = expected["input_ids"]
    logits = model(ids)
    loss = model.loss(logits, ids)
    loss.backward()

    actual = {"logits": logits.detach(), "logits_last16": logits[:, -16:].detach(), "loss": loss.detach().view(1)}
    actual.update(norms)
    for name, parameter in model.named_parameters():
        actual[f"grad.{name}"] = parameter.grad
        actual[f"grad_norm.{name}"] = parameter.grad.norm().view(1)
    errors = {name: relative(actual[name], value) for name, value in expected.items() if name != "input_ids"}
    # With a single position the queries have no gradient. Fused attention rounds its way to almost none; beside the
    # largest gradient it must be nothing.
    largest = max(value.norm().item() for name, value in expected.items() if name.startswith("grad"))
    errors.update({name: actual[name].norm().item() / largest for name, value in expected.items()
                   if name.startswith("grad") and not value.any()})
    yield Finding("loss", errors.pop("loss"), LOSS_TOLERANCE)
    for kind in ("logits", ("global_", "local_"), "grad"):
        worst = max((name for name in errors if name.startswith(kind)), key=errors.get)
        yield Finding(worst, errors[worst], TENSOR_TOLERANCE)
    parameters = {name for name, _ in model.named_parameters()}
    unchecked = parameters - {name.split(".", 1)[1] for name in errors if name.startswith("grad")}
    yield Finding("parameters without a golden gradient", len(unchecked), 0)


def check_generation(folder: Path) -> Iterator[Finding]:
    model, sequences = load(folder), json.loads((folder / "generation.json").read_text())["sequences"]
    wrong, errors = Counter(), defaultdict(float)
    for sequence in sequences:
        prompt, expected = torch.tensor([sequence["prompt"]], dtype=torch.long), sequence["ids"]
        ways = {sequence["mode"]: generate(model, prompt, sequence["mode"])}
        if sequence["mode"] == "aligned":
            capacity = prompt.shape[1] + len(expected)
            ways["aligned, cached"] = generate_cached(model, prompt, capacity)
            ways["aligned, by patches"] = generate_by_patches(model, prompt, capacity, as_sums=False)
            ways["aligned, by patches, sums"] = generate_by_patches(model, prompt, capacity, as_sums=True)
        for way, stream in ways.items():
            steps = [next(stream) for _ in expected]
            wrong[way] += sum(chosen.item() != other for (chosen, _), other in zip(steps, expected))
            tops = torch.stack([logits.max() for _, logits in steps])
            errors[way] = max(errors[way], relative(tops, torch.tensor(sequence["top_logit"])))
    for way, error in errors.items():
        yield Finding(f"{way}: wrong ids", wrong[way], 0)
        yield Finding(f"{way}: top logits", error, TENSOR_TOLERANCE)


def check_optimizer(folder: Path) -> Iterator[Finding]:
    options, tensors = json.loads((folder / "optimizer.json").read_text()), load_file(folder / "steps.safetensors")
    names = [name.removeprefix("param.") for name in tensors if name.startswith("param.")]
    parameters = {name: torch.nn.Parameter(tensors[f"param.{name}"].clone()) for name in names}
    optimizer = torch.optim.AdamW(parameters.values(), lr=options["lr"], betas=(options["beta1"], options["beta2"]),
                                  eps=options["eps"], weight_decay=options["weight_decay"], fused=True)
    worst = 0.0
    for step in range(1, options["steps"] + 1):
        for name, parameter in parameters.items():
            parameter.grad = tensors[f"grad.{step}.{name}"]
        optimizer.step()
        worst = max(worst, *(relative(p.detach(), tensors[f"after.{step}.{name}"]) for name, p in parameters.items()))
    yield Finding("parameters after each step", worst, OPTIMIZER_TOLERANCE)


def check_curve(folder: Path, data: Path, steps: int) -> Iterator[Finding]:
    model, curve = load(folder), json.loads((folder / "curve.json").read_text())
    optimizer = torch.optim.AdamW(model.parameters(), lr=curve["lr"], betas=(curve["beta1"], curve["beta2"]),
                                  eps=curve["eps"], weight_decay=curve["weight_decay"], fused=True)
    shape = curve["batch"], curve["seq_len"]
    text = torch.from_numpy(numpy.fromfile(data / curve["train_file"], dtype=numpy.uint8)).long()
    steps = min(steps, curve["steps"])
    losses = []
    for rows in text[:steps * shape[0] * shape[1]].view(-1, *shape):
        optimizer.zero_grad()
        loss = model.loss(model(rows), rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), curve["clip_global_norm"])
        optimizer.step()
        losses.append(loss.item())
    early = [abs(a - b) for a, b in zip(losses[:50], curve["loss"])]
    yield Finding(f"largest difference of the first {len(early)} losses", max(early), CURVE_TOLERANCE)
    if steps < curve["steps"]:
        return
    yield Finding("last loss", abs(losses[-1] / curve["loss"][-1] - 1), CURVE_END_TOLERANCE)
    valid = torch.from_numpy(numpy.fromfile(data / curve["valid_file"], dtype=numpy.uint8)).long()
    with torch.inference_mode():
        blocks = valid[:curve["valid_bytes"]].view(-1, *shape)
        mean = sum(model.loss(model(rows), rows).item() for rows in blocks) / len(blocks)
    yield Finding("validation loss", abs(mean / curve["valid_loss"] - 1), CURVE_END_TOLERANCE)


def findings(folder: Path, data: Path, curve_steps: int) -> Iterator[Finding]:
    if (folder / "optimizer.json").exists():
        if json.loads((folder / "optimizer.json").read_text())["optimizer"] == "adamw":
            yield from check_optimizer(folder)
        return
    if json.loads((folder / "config.json").read_text())["variant"] not in (MEGABYTE, IN_ACTION):
        return
    if (folder / "io.safetensors").exists():
        yield from check_forward_and_backward(folder)
    if (folder / "generation.json").exists():
        yield from check_generation(folder)
    if (folder / "curve.json").exists() and curve_steps:
        yield from check_curve(folder, data, curve_steps)


def check(golden: Path, curve_steps: int, of_global: str, of_local: str, as_products: bool) -> bool:
    """Prints a table to stderr; whether everything passed, and at least one folder of each variant was there."""
    global attention, one_hot
    attention, one_hot = (of_global, of_local), as_products
    folders = sorted(path for path in golden.iterdir() if path.is_dir())
    passed, variants = True, set()
    for folder in folders:
        try:
            compared = list(findings(folder, golden.parent / "data", curve_steps))
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
            print(f"{folder.name:36} cannot be compared: {problem}", file=sys.stderr)
            passed = False
            continue
        if not compared:
            print(f"{folder.name:36} not compared: the peer has nothing like it", file=sys.stderr)
        for what, error, tolerance in compared:
            good = error <= tolerance
            passed = passed and good
            print(f"{folder.name:36} {what:64} {error:9.1e} of {tolerance:7.0e} {'ok' if good else 'FAILED'}",
                  file=sys.stderr)
        if compared and (folder / "io.safetensors").exists():
            variants.add(Config.read(folder / "config.json").variant)
    missing = {MEGABYTE, IN_ACTION} - variants
    if missing:
        print(f"{golden} holds no forward and backward data for {', '.join(sorted(missing))}", file=sys.stderr)
    return passed and not missing
