"""What agents remember: conversations, memories, and what of them fits a prompt."""
