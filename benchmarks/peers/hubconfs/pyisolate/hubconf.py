"""The environment in which pyisolate is measured."""

dependencies = ["numpy", "torch", "pyisolate"]
