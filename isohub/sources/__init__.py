"""Where repositories come from: each source resolves a name to a pin, and fetches what the pin names."""
