"""Its import raises."""

raise ImportError("no such thing", name="thing")
