"""The output folder: where things are in it, what they are called, and who holds it."""
