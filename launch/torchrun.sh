#!/usr/bin/env bash
# All GPUs of one machine. Arguments are settings: launch/torchrun.sh model=base max_tokens=1_000_000_000
# The same command goes on where the run stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

torchrun --standalone --nproc-per-node "${PROCESSES:-gpu}" \
    train.py trainer=fsdp run_dir=outputs/torchrun resume=auto "$@"
