"""Writes the .bin files of this folder with PyTorch, and beside each the tensors that it holds (.safetensors).

Made with torch 2.13.0 and safetensors 0.8.0:  python make_fixtures.py
"""
import json
import os
import pathlib
import zipfile
from collections import OrderedDict

import torch
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent


def write(name, content, tensors, **options):
    torch.save(content, HERE / f"{name}.bin", **options)
    if tensors is not None:
        expected = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        save_file(expected, HERE / f"{name}.safetensors")


def rezip(name, source, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / f"{name}.bin", "w", compression) as new:
        for entry in old.infolist():
            info = zipfile.ZipInfo(entry.filename)
            info.compress_type = compression
            new.writestr(info, change(entry.filename, old.read(entry)))


torch.manual_seed(0)
x = torch.randn(3, 4)
dtypes = {str(t).split(".")[1]: x.mul(9).to(t) for t in (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)}
dtypes["uint8"] = torch.tensor([0, 127, 255], dtype=torch.uint8)
dtypes["bool"] = torch.tensor([True, False])
dtypes["scalar"] = torch.tensor(2.5)
dtypes["empty"] = torch.zeros(0, 5)
write("dtypes", dtypes, dtypes)

y = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
views = {"whole": y, "transposed": y.transpose(0, 2), "column": y[:, 1, 3], "stepped": y[::2, 1:3, ::2], "row": y[2],
         "one_by": y[:, :1, :].transpose(1, 2), "half_view": x.half().t()}
write("views", views, views)

module = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
module[0].tied = nn.Parameter(module[0].weight)
state = module.state_dict()
nested = {"model": state, "epoch": 3, "lr": 1e-3, "name": "run", "best": None,
          "flags": [True, 1, -70000, 2**40, b"raw"], "size": torch.Size([2, 3]), "dtype": torch.bfloat16, "device": torch.device("cpu"), "seed": 2**70,
          "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
write("nested", nested, {**{"model." + k: v for k, v in state.items()}, "optimizer.state.0.exp_avg": torch.ones(2)})
parameters = OrderedDict(w=nn.Parameter(x), tied=nn.Parameter(x), q=nn.Parameter(x.t()))
write("parameters", parameters, parameters)
torch.serialization.set_crc32_options(False)
write("without-checksums", {"x": x}, {"x": x})
torch.serialization.set_crc32_options(True)

write("legacy", {"x": x}, None, _use_new_zipfile_serialization=False)
write("expanded", {"x": torch.ones(1).expand(1000)}, None)
write("tensor-alone", x, None)


class Command:
    def __reduce__(self):
        return os.system, ("echo harm",)


class Evil:
    def __reduce__(self):
        return eval, ("1",)


class Secret(nn.Linear):
    pass


write("runs-system", {"x": x, "y": Command()}, None)
write("runs-eval", {"x": x, "y": Evil()}, None)
write("whole-module", Secret(2, 2), None)
rezip("big-endian", "views.bin", lambda name, data: b"big" if name.endswith("byteorder") else data)
rezip("compressed", "views.bin", lambda name, data: data, zipfile.ZIP_DEFLATED)
rezip("no-pickle", "views.bin", lambda name, data: data)
with zipfile.ZipFile(HERE / "no-pickle.bin", "w") as empty:
    empty.writestr("readme.txt", "no tensors here")


def wrapper(name, l_nlayers, l_nheads, in_action):
    """A checkpoint of the reference's Hugging Face wrapper, which has l_nlayers local heads."""
    V, P, D_G, D_L, T_MAX = 12, 2, 4, 8, 16
    shapes = OrderedDict()

    def stack(prefix, layers, dim, heads):
        h = dim // heads
        for i in range(layers):
            a, f = f"{prefix}.layers.{i}.0.", f"{prefix}.layers.{i}.1."
            shapes.update({a + "norm.weight": [dim], a + "norm.bias": [dim], a + "to_q.weight": [heads * h, dim],
                           a + "to_kv.weight": [2 * h, dim], a + "to_out.weight": [dim, heads * h],
                           f + "0.weight": [dim], f + "0.bias": [dim], f + "1.weight": [4 * dim, dim],
                           f + "1.bias": [4 * dim], f + "4.weight": [dim, 4 * dim], f + "4.bias": [dim]})

    if in_action:
        shapes.update({"to_embed.weight": [V, D_G], "to_l_embed.weight": [D_L, D_G], "to_l_embed.bias": [D_L]})
    else:
        shapes.update({"g_embedder.weight": [V, D_G], "g_pos_embedder.weight": [T_MAX, D_G],
                       "l_embedder.weight": [V, D_L]})
    stack("g_transformer", 1, P * D_G, 2)
    stack("l_transformer", l_nlayers, D_L, l_nlayers)
    shapes.update({"gl_linear.1.weight": [D_L, D_G], "gl_linear.1.bias": [D_L],
                   "to_logits.weight": [V, D_L], "to_logits.bias": [V]})
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    torch.save(OrderedDict(("inner_model." + k, torch.randn(s).half().float()) for k, s in shapes.items()),
               folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({
        "D_G": D_G, "D_L": D_L, "P": P, "T_MAX": T_MAX, "V": V, "architectures": ["MegabyteLMHeadModel"],
        "bos_token_id": 11, "eos_token_id": 11, "g_nheads": 2, "g_nlayers": 1, "initializer_range": 0.02,
        "l_nheads": l_nheads, "l_nlayers": l_nlayers, "model_type": "megabyte", "pad_id": 10, "torch_dtype": "float32",
        "transformers_version": "4.31.0"}, indent=2) + "\n")


wrapper("wrapper", 2, 4, False)
wrapper("wrapper-in-action", 2, 4, True)
wrapper("wrapper-odd-heads", 3, 4, True)
