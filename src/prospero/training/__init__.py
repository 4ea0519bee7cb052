"""Training: a session, its parts, the Lightning module and trainer, callbacks, guards, loggers and results."""

from prospero.training.deferred_compiler import defer_compiler
from prospero.training.deferred_imports import defer_optional_imports

defer_optional_imports()
defer_compiler()
