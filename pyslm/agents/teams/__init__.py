"""Several agents at work together."""
