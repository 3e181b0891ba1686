"""A repository of a torch module."""

import torch

dependencies = ["torch"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((3,), 2.0))

    def forward(self, value):
        assert isinstance(value, torch.Tensor), type(value)
        return value * self.weight

    def looks(self, *args, **kwargs):
        return [type(value).__name__ for value in [*args, *kwargs.values()]]

    def grad_mode(self):
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()


def net():
    return Net()


def looks(value):
    return type(value).__name__


def grad_mode():
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled()


def grad_modes(count):
    for _ in range(count):
        yield grad_mode()


def views():
    whole = torch.arange(6.0)
    return whole, whole[2:], whole.view(2, 3)


def same(value):
    return value


def largest(value):
    return torch.as_tensor(value).max(1)


def is_float(value):
    return value is torch.float32
