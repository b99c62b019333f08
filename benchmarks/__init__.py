"""Figures of speed, memory and quality: what the documents say comes from a command in here.

Run from the repository's root, `python -m benchmarks.solver`. What a folder's benchmarks share is
in `setting/`; the other folders do without each other.
"""
