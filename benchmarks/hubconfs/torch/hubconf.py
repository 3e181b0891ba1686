"""What is called in the benchmarks, in an environment with torch."""

dependencies = ["numpy", "torch"]

import os

import torch


class PlusOne(torch.nn.Module):
    """The cheapest computation that reads all of its input and makes all of its output."""

    def forward(self, value):
        return value + 1


class Nothing:
    """An object that stays in the worker."""


def plus_one():
    return PlusOne()


def function(name):
    """One of the functions below, to be called without asking for it again."""
    return globals()[name]


def pid():
    return os.getpid()


def next_number(number):
    return number + 1


def shape_of(tensor):
    return tuple(tensor.shape)


def make_tensor(count):
    return torch.ones(count)


def make_object():
    return Nothing()


def numbers(count):
    yield from range(count)
