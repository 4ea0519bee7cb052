"""Triples as sentences: several templates a relation, of which the last are held out of training to ask with.

capital of:
  - "{subject} is the capital of {object}."
  - "The capital of {object} is {subject}."
  - "{subject} has been made the capital of {object}."        # held out: no training text has it
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.data.template import Template
from prospero.data.triples.triple import Triple, Triples
from prospero.errors import ConfigError, suggest

FIELDS = ["subject", "object"]
USUAL = ("{subject} {relation} {object}.", "{subject}: {relation} {object}.", "{relation} of {subject}: {object}.")
"""The templates of a relation that was given none; the last is held out."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence about a fact, cut where its object begins."""

    before: str
    """What is read; a question, where it asks for the object."""
    after: str
    """What follows behind the object."""


class Verbaliser:
    """The templates of all relations."""

    def __init__(self, trained: Mapping[str, list[Template]], held_out: Mapping[str, list[Template]]) -> None:
        self.trained, self.held_out = dict(trained), dict(held_out)

    def sentences(self, triple: Triple) -> Iterator[str]:
        """Yield the sentences of a fact that training may see."""
        values = {"subject": triple.subject, "relation": triple.relation, "object": triple.object}
        yield from (template.fill(values) for template in self.trained[triple.relation])

    def sentence(self, triple: Triple) -> str:
        """Return the first of them: how a fact stands in a context."""
        return next(self.sentences(triple))

    def questions(self, triple: Triple) -> list[Phrase]:
        """Return the held-out sentences of a fact, cut where its object begins; none where none is held out."""
        return [phrase(template, triple) for template in self.held_out[triple.relation]]

    def trained_questions(self, triple: Triple) -> list[Phrase]:
        """Return the sentences of training, likewise."""
        return [phrase(template, triple) for template in self.trained[triple.relation]]


def phrase(template: Template, triple: Triple) -> Phrase:
    """Return the sentence of a template, cut where the object begins for the last time."""
    values = {"subject": triple.subject, "relation": triple.relation, "object": triple.object}
    last = max(place for place, (_, field) in enumerate(template.parts) if field == "object")
    before = "".join(text + (values[field] if field else "") for text, field in template.parts[:last])
    after = "".join(text + (values[field] if field else "") for text, field in template.parts[last + 1 :])
    return Phrase(before + template.parts[last][0], after)


def verbaliser(triples: Triples, templates: Mapping[str, Sequence[str]], file: str | None, held_out: int) -> Verbaliser:
    """Return the templates of all relations of `triples`: of the `file`, of `templates`, else the usual ones.

    Raises ConfigError for a template that cannot be, one that is given twice, a relation of the file that no triple
    has, and for one with too few to hold `held_out` out.
    """
    own = {} if file is None else read_templates(file)
    for relation in own:
        if relation not in triples.relations:
            near = suggest(relation, triples.relations)
            raise ConfigError(f"{file}: no triple has the relation '{relation}'.{near}")
    trained: dict[str, list[Template]] = {}
    kept: dict[str, list[Template]] = {}
    for relation in triples.relations:
        texts = list(own.get(relation) or templates.get(relation) or USUAL)
        parsed = [parse(text, relation) for text in texts]
        if len(set(texts)) < len(texts):
            raise ConfigError(f"a template of the relation '{relation}' stands there twice: {texts}")
        if len(texts) <= held_out:
            raise ConfigError(
                f"the relation '{relation}' has {len(texts)} templates, of which held_out_templates={held_out} leaves "
                "none to train with; give more"
            )
        trained[relation], kept[relation] = parsed[: len(texts) - held_out], parsed[len(texts) - held_out :]
    return Verbaliser(trained, kept)


def parse(text: str, relation: str) -> Template:
    """Return a template over {subject}, {object} and {relation}; ConfigError where it lacks one of the first two."""
    template = Template(text, f"a template of the relation '{relation}'")
    for name in template.fields:
        if name not in ("subject", "relation", "object"):
            raise ConfigError(
                f"the template {text!r} of '{relation}': there is no {{{name}}}; subject, relation, object"
            )
    missing = [name for name in FIELDS if name not in template.fields]
    if missing:
        raise ConfigError(f"the template {text!r} of '{relation}' lacks {{{missing[0]}}}")
    return template


def read_templates(file: str) -> dict[str, list[str]]:
    """Return relation -> templates of a YAML file; ConfigError where it holds anything else."""
    import yaml

    try:
        found: Any = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"templates_file={file} cannot be read ({' '.join(str(error).split())[:160]})") from None
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"templates_file={file} holds no templates; write `relation: [template, template]`")
    for relation, texts in found.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise ConfigError(
                f"templates_file={file}: '{relation}' has no list of templates; write [template, template]"
            )
    return {str(relation): list(texts) for relation, texts in found.items()}
