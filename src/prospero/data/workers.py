"""The processes that read batches ahead of the training process, and the signals that are none of their business.

A scheduler or a terminal sends its signal to all processes of a job. The training process saves and leaves; a worker
that died of the same signal, or that passed it on, would take the end of the step away from it.
"""

import os
import signal
import threading


def start_worker(number: int) -> None:
    """Leave the signals to the training process; called first thing in every worker (DataLoader's `worker_init_fn`)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # threads started from here on block it as well
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True, name="signals").start()


def _end_with(parent: int) -> None:
    """End the worker at a SIGTERM of the process that started it (its way to end a worker), and at no other."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
