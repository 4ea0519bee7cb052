"""Weights & Biases: the logger of a run, and what it needs to know of W&B's server and of its rules."""
