"""Which names of a knowledge graph a text mentions: the longest match of whole words, from left to right."""

import re
from collections.abc import Iterable

from prospero.data.triples.triple import Triple

_WORDS = re.compile(r"\w+|[^\w\s]")


class EntityIndex:
    """Names -> triples, by subject and by object."""

    def __init__(self, triples: Iterable[Triple]) -> None:
        self.by_subject: dict[str, list[Triple]] = {}
        self.by_object: dict[str, list[Triple]] = {}
        for triple in triples:
            self.by_subject.setdefault(triple.subject, []).append(triple)
            self.by_object.setdefault(triple.object, []).append(triple)
        self._subjects, self._objects = _Names(self.by_subject), _Names(self.by_object)

    def about(self, text: str) -> list[Triple]:
        """Return the triples whose subject the text names, those of longer names first.

        Only where it names none, the triples whose object it names.
        """
        for names, triples in ((self._subjects, self.by_subject), (self._objects, self.by_object)):
            found = names.mentioned(text)
            if found:
                ordered = sorted(found, key=lambda name: -len(name))
                return list(dict.fromkeys(triple for name in ordered for triple in triples[name]))
        return []


class _Names:
    """Names by their words; as they are written, and for a word that is not found so, without regard to case."""

    def __init__(self, names: Iterable[str]) -> None:
        self.exact: dict[tuple[str, ...], str] = {}
        self.folded: dict[tuple[str, ...], str] = {}
        self.longest = 0
        for name in names:
            words = tuple(_WORDS.findall(name))
            if words:
                self.exact.setdefault(words, name)
                self.folded.setdefault(tuple(word.casefold() for word in words), name)
                self.longest = max(self.longest, len(words))

    def mentioned(self, text: str) -> list[str]:
        """Return the names in the text, each once, in its order."""
        words = tuple(_WORDS.findall(text))
        folded = tuple(word.casefold() for word in words)
        return self._found(self.exact, words) or self._found(self.folded, folded)

    def _found(self, names: dict[tuple[str, ...], str], words: tuple[str, ...]) -> list[str]:
        found: dict[str, None] = {}
        start = 0
        while start < len(words):
            for stop in range(min(len(words), start + self.longest), start, -1):
                if (name := names.get(words[start:stop])) is not None:
                    found.setdefault(name)
                    start = stop - 1
                    break
            start += 1
        return list(found)
