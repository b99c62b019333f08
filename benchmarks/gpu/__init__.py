"""What a GPU does: its speed, its numbers, its memory, its failures; all of it as one report."""
