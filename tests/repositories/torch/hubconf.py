dependencies = ["torch", "numpy"]

import os

import numpy
import torch

if "SEED" in os.environ:
    torch.manual_seed(int(os.environ["SEED"]))


def linear():
    """A layer that is the same everywhere: it doubles, and adds 1."""
    layer = torch.nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.copy_(2 * torch.eye(3))
        layer.bias.fill_(1)
    return layer


def tensors():
    """A tensor of each kind that people ask about."""
    base = torch.arange(6).reshape(2, 3)
    return {
        "plain": base,
        "transposed": base.T,
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 4),
        "bfloat16": torch.tensor([1.0, -2.5], dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
        "complex": torch.tensor([1 + 2j]),
    }


def same(value):
    return value


def looks(value):
    kind = type(value)
    return f"{kind.__module__}.{kind.__name__}", str(getattr(value, "dtype", None))


def grad_mode():
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled()


def random_numbers():
    return torch.rand(3), numpy.random.rand(3).tolist()


def parent():
    return os.getppid()


def multiply(one, other):
    return one @ other
