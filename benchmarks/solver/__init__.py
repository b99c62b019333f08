"""How soon solvers reach a loss: ours, the textbook's, SciPy's; `python -m benchmarks.solver`."""
