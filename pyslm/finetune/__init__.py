"""Training very small models for agent work."""
