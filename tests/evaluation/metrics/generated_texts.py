"""Pairs of texts with several references each, the same for every test."""

import random

from prospero.evaluation.metrics.text_base import TextSample

TEXT = "the cat sat on a mat, dog. and ran fast to big house! élan 42 x-ray 中文 文字 Größe don't"
VOCABULARY = TEXT.split()


def generated_samples(n: int = 200, seed: int = 1) -> list[TextSample]:
    """Return `n` samples of 1 to 4 references; some texts are empty."""
    rng = random.Random(seed)

    def text() -> str:
        return "".join(rng.choice(VOCABULARY) + rng.choice("   \n") for _ in range(rng.randint(0, 30)))

    return [TextSample(predictions=[text()], references=[text() for _ in range(rng.randint(1, 4))]) for _ in range(n)]


def in_columns(samples: list[TextSample]) -> list[list[str | None]]:
    """Return the references as sacrebleu takes them: the first of all samples, the second of all, None for none."""
    most = max(len(sample.references) for sample in samples)
    return [[(sample.references + [None] * most)[column] for sample in samples] for column in range(most)]
