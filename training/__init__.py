"""Making the weights of `slim`; `python -m training.train_slim`."""
