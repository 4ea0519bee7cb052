"""A run beside its repetition: is it the same digit for digit, where does it first differ, and what may be why."""
