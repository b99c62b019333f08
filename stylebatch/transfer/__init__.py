"""The optimisation: tensors in, tensors out. No paths, nothing of stylebatch but architectures."""
