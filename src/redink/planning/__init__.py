"""What a run will take, before anything is spent: rows, calls, tokens, dollars, hours, memory, disk."""
