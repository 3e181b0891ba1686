"""Calls to a worker and the remote objects they answer."""
