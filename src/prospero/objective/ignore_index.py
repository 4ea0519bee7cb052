IGNORE_INDEX = -100
"""The label of a position that is not a target (torch's own default in cross_entropy)."""
