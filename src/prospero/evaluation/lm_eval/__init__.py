"""EleutherAI's lm-evaluation-harness (`pip install prospero[lm_eval]`): its tasks on the models of this program."""
