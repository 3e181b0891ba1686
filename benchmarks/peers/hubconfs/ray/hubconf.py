"""The environment in which ray is measured."""

dependencies = ["numpy", "torch", "ray"]
