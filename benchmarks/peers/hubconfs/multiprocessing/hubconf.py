"""The environment in which multiprocessing of the standard library is measured."""

dependencies = ["numpy", "torch"]
