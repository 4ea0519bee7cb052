"""Hydra finds the sweeper in the sub-module."""
