"""Other tools, their own code from clones of theirs, beside stylebatch on the same work."""
