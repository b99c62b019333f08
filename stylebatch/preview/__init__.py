"""Before a run: what it will take, what it will look like, and recipes side by side."""
