"""A train.py whose objective is how far optimizer.lr is from 1e-3, in powers of ten; it reports as a trial does.
With a monitor it is judged by that, the larger the better.

The environment says how it behaves: FAKE_SLOW (number of the trial that takes half a minute), FAKE_CRASH (lr above
which it crashes), FAKE_REPORTS.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

settings = dict(word.lstrip("+").split("=", 1) for word in sys.argv[1:] if "=" in word)
folder = Path(settings["run_dir"].strip("'"))
with open(folder / "starts.jsonl", "a") as file:
    file.write(json.dumps({"words": sys.argv[1:], "start": time.time()}) + "\n")
lr = float(settings["optimizer.lr"])
value = abs(math.log10(lr) + 3)
if os.environ.get("FAKE_SLOW") == folder.name:
    time.sleep(30)
if lr > float(os.environ.get("FAKE_CRASH", "inf")):
    sys.exit("diverged")
status = "DONE"
if os.environ.get("FAKE_REPORTS"):
    from prospero.sweeps.study import trial_of_environment

    trial, _ = trial_of_environment()
    for tokens in (100, 200, 400, 800):
        trial.report(value + 1 / tokens, step=tokens)
        if trial.should_prune():
            status = "PRUNED"
            break
result = {"objective": value, "objective_name": "distance", "distance": value, "gain": -value, "status": status}
if "monitor" in settings:
    judged = {"objective": -value, "objective_name": settings["monitor"], "objective_direction": "maximize"}
    result |= {**judged, settings["monitor"]: -value}
(folder / "result.json").write_text(json.dumps(result))
