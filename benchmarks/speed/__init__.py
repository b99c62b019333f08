"""Time and memory of an evaluation, of a run, of planning."""
