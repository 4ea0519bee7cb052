"""Several runs side by side: in what they differ, their curves, and which difference between them is real."""
