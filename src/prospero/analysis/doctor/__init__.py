"""What the doctor measures of a run's model: its gradients, what its units and heads do; for `runs/doctor/`."""
