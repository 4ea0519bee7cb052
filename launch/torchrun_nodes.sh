#!/usr/bin/env bash
# Several machines: start it on each at about the same time, with the first machine's address. NODES, HEAD, PROCESSES
# and RECIPE (gpt2_124m, 350m, 770m, 1b, 7b: conf/experiment/) come from the environment; arguments are settings.
#   NODES=2 HEAD=10.0.0.1 RECIPE=770m launch/torchrun_nodes.sh logger=wandb
# run_dir must lie on a disk that all machines share; prepared data may lie on each machine's own (outputs_dir=).
# A machine that fails stops all; --max-restarts starts them again, and resume=auto goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${NODES:?how many machines}" "${HEAD:?address of the first machine}"

torchrun --nnodes "$NODES" --nproc-per-node "${PROCESSES:-gpu}" --max-restarts "${RESTARTS:-3}" \
    --rdzv-backend c10d --rdzv-endpoint "$HEAD:${PORT:-29500}" --rdzv-id "${RUN:-prospero}" \
    train.py experiment="${RECIPE:-gpt2_124m}" run_dir="outputs/${RUN:-prospero}" resume=auto "$@"
