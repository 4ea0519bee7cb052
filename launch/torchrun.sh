#!/usr/bin/env bash
# All GPUs of one machine, by the recipe of a size (gpt2_124m, 350m, 770m, 1b, 7b: conf/experiment/). Arguments are settings:
#   RECIPE=350m launch/torchrun.sh logger=wandb
# The same command goes on where the run stopped. The first start reads the recipe's text from the hub (pip install -e
# ".[hub]") and prepares it, which takes hours of CPU time and no GPU; data=files data.path=<your text> takes your own.
set -euo pipefail
cd "$(dirname "$0")/.."

torchrun --standalone --nproc-per-node "${PROCESSES:-gpu}" \
    train.py experiment="${RECIPE:-gpt2_124m}" run_dir="outputs/torchrun_${RECIPE:-gpt2_124m}" resume=auto "$@"
