"""Many runs by one command: jobs in processes of their own, on slots of the machine, in a folder that is continued."""

RESULT_FILE = "result.json"
"""Written by a run that came to its end: {"objective": ..., "objective_name": ..., "status": ..., metrics...}."""
