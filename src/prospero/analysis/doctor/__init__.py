"""What the doctor measures of a run's model: its gradients and what its units and heads do; numbers for `runs/doctor/`."""
