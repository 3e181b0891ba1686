"""When it is imported it gives torch as many threads as ``THREADS`` says."""

import os

dependencies = ["torch"]

import torch

torch.set_num_threads(int(os.environ["THREADS"]))


def count():
    return torch.get_num_threads()
