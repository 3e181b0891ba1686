"""Environments: plan, resolve, lock, build, keep."""
