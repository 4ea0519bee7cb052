"""The options of every verb, which are Hydra's; settings are written name=value."""

OPTIONS = {
    "--help": 0, "-h": 0, "--hydra-help": 0, "--version": 0, "--cfg": 1, "-c": 1, "--resolve": 0, "--package": 1,
    "-p": 1,
    "--run": 0, "-r": 0, "--multirun": 0, "-m": 0, "--shell-completion": 0, "-sc": 0,
    "--config-name": 1, "-cn": 1, "--config-dir": 1, "-cd": 1, "--info": 1, "-i": 1,
}  # fmt: skip
"""Option -> number of values that follow it."""
INFO = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
CHOICES = {"--cfg": ["job", "hydra", "all"], "--info": INFO} | {"-c": ["job", "hydra", "all"], "-i": INFO}
"""Option -> the values it can have."""
SWEEP = ("-m", "--multirun")
"""Spellings of the option that sweeps over comma-separated values."""
