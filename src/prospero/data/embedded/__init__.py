"""Records made of the documents that come with every Python: examples to learn from, and items to measure."""
