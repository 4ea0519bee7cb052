"""Completion in the shell: what may stand next on a command line, without importing anything heavy."""
