"""The environment in which appose is measured."""

dependencies = ["numpy", "torch", "appose"]
