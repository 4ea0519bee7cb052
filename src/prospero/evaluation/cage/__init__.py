"""Programs that a model wrote, run apart from everything else: see docs/CODE_EXECUTION.md."""
