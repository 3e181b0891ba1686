"""Models on the worker's first GPU. When it is imported it hides all of them, as some repositories do that have a CPU in mind."""

import os

dependencies = ["torch"]

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch


def count():
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def uuids():
    """Of the GPUs in torch's order, without the kind before them."""
    return [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]


def model(size, number=0):
    """A layer that doubles, with `size` MiB beside it."""
    device = "cuda:%d" % number
    layer = torch.nn.Linear(4, 4, bias=False).to(device)
    with torch.no_grad():
        layer.weight.copy_(2 * torch.eye(4))
    layer.register_buffer("ballast", torch.ones(size * 2**20, dtype=torch.uint8, device=device))
    return layer


def answer(layer, values):
    return layer(torch.tensor(values, device=layer.weight.device)).tolist()


def pid():
    return os.getpid()
