"""What a model writes to the prompts of a task's items, side by side."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prospero.data.retrieval import Retrieval
from prospero.evaluation.measurement import Subject
from prospero.evaluation.tasks.prompt import Prompt, Room, informed
from prospero.generation.generate import continuations
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context


def answers(
    subject: Subject,
    items: Sequence[int],
    prompt_of: Callable[[int, Room], Prompt],
    retrieval: Retrieval | None,
    decoding: SamplingConfig,
) -> Iterator[tuple[int, list[str], dict[str, Any]]]:
    """Yield an item, its `decoding.n` texts and the record of its prompt, whichever has ended first.

    `prompt_of` gives the prompt of an item that fits the room; up to `subject.rows` texts are written at a time.
    """
    room = Room(subject.tokenizer, subject.decoder.window, decoding.max_new_tokens)
    records: dict[int, dict[str, Any]] = {}

    def jobs() -> Iterator[tuple[int, str]]:
        for number in items:
            prompt = informed(prompt_of(number, room), retrieval, room)
            records[number] = prompt.record()
            yield number, prompt.text

    written = continuations(
        subject.decoder, subject.tokenizer, jobs(), decoding, batch_size=subject.rows, context=Context.slide
    )
    for number, completions in written:
        yield number, [completion.text for completion in completions], records.pop(number)
