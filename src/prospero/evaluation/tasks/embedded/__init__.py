"""Records made of the documents that come with every Python, so that each task has a default without a download."""
