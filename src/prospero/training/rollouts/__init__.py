"""Completions that the model in training writes, what they are rewarded with, and the batches made of them."""
