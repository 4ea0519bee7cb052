"""Training: a session, its parts, the Lightning module and trainer, callbacks, guards, loggers and results."""

from prospero.training.deferred_transformers import defer_transformers

defer_transformers()
