"""The environment in which rpyc is measured."""

dependencies = ["numpy", "torch", "rpyc"]
