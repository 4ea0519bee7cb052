"""Several corpora in one run: their settings, their shares of each step, and the folder in which they are joined."""
