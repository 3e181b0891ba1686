"""The environment in which isolate is measured."""

dependencies = ["numpy", "torch", "isolate"]
