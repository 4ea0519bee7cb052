"""Hydra finds the launcher in the sub-module."""
