"""The same calls through other projects: ``python -m benchmarks.peers``.

Each peer, and isohub among them, is used by a program of its own (program.py), in an environment that isohub builds from the
hubconf that names the peer, through an adapter with the same two functions.
"""
