"""A program that behaves like train.py towards a sweep: settings as words, run_dir, result.json, signals.

x=<number>      the objective
sleep=<seconds> how long it takes; SIGTERM and SIGINT end it early with 128 + signal
    sleep_once=<seconds>  the same, for the first start in a folder
full=said|silent  its disk is full, which it says or cannot even say;  full_once=  the same, for the first start
crash=true      it fails;    hang=true   it does not listen to SIGTERM
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    settings = dict(word.lstrip("+").split("=", 1) for word in sys.argv[1:])
    folder = Path(settings["run_dir"].strip("'"))
    (folder / "config.yaml").write_text("run\n")
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "step_1").write_text("")
    again = (folder / "starts.jsonl").exists()
    names = ("MASTER_PORT", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "PROSPERO_SWEEP")
    seen = {"words": sys.argv[1:], "start": time.time(), **{name: os.environ.get(name) for name in names}}
    with open(folder / "starts.jsonl", "a") as file:
        file.write(json.dumps(seen) + "\n")

    def leave(number, frame):
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if settings.get("hang") else leave)
    if settings.get("child"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (folder / "child.pid").write_text(str(child.pid))
    time.sleep(float(settings.get("sleep", 0) if again else settings.get("sleep_once", settings.get("sleep", 0))))
    full = settings.get("full") or (None if again else settings.get("full_once"))
    if full:
        said = f"error: the disk that holds {folder} is full; free some space, then go on with resume=auto\n"
        sys.stderr.write(said if full == "said" else "")
        sys.exit(2)
    if settings.get("crash") == "true":
        sys.exit("it broke")
    result = {"objective": float(settings["x"]), "objective_name": "loss", "loss": float(settings["x"])}
    (folder / "result.json").write_text(json.dumps(result | {"status": settings.get("status", "DONE")}))
    with open(folder / "starts.jsonl", "a") as file:
        file.write(json.dumps({"end": time.time()}) + "\n")


if __name__ == "__main__":
    main()
