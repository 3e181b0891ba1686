"""The command line, over Hub only."""
