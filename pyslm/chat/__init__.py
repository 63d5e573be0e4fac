"""Conversations as text: chat templates, and (later) reasoning and tool-call formats."""
