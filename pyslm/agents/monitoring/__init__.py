"""What agents take of the machine, how they do, and what is done about it."""
