"""What runs inside an isolated environment, and the wire that both sides speak."""
