"""The board: all runs of a folder in the browser, read from their files alone."""
