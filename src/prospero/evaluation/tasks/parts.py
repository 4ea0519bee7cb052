"""What the group of tasks asks of its parts; light at import, for the settings of commands."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prospero.data.retrieval import Retrieval, RetrievalFacts
    from prospero.evaluation.analyses import AnalysisFacts
    from prospero.evaluation.measurement import Measurement
    from prospero.evaluation.tasks.base import TaskFacts


class TaskSettings(Protocol):
    """Settings of a task: the group `tasks`."""

    def build(self, name: str, facts: "TaskFacts") -> "Measurement":
        """Return the task called `name`, its items read; DataError when they cannot be."""
        ...


class AnalysisSettings(Protocol):
    """Settings of an analysis: the group `analyses`."""

    def build(self, name: str, facts: "AnalysisFacts") -> "Measurement":
        """Return the analysis called `name`, its items known; DataError when what it reads is not there."""
        ...


class RetrievalSettings(Protocol):
    """What is put before a prompt: the group `retrieval`."""

    def build(self, facts: "RetrievalFacts") -> "Retrieval | None":
        """Return what finds facts for a prompt; None where nothing is put before it."""
        ...
