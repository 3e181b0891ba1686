"""What runs inside an isolated environment, and the wire that both sides speak."""

# The variable with the names of those that keep their values in a worker; see ``pins``.
PINNED = "ISOHUB_PINNED"
