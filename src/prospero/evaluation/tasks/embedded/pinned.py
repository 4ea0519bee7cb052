"""The same few of many records on every machine: those whose hashes are the smallest."""

from collections.abc import Mapping, Sequence
from typing import Any

from prospero.data.embedded.places import place_of


def pinned(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Return `most` of the different rows, chosen by their hash, in their order."""
    places: dict[int, int] = {}
    for number, row in enumerate(rows):
        places.setdefault(place_of(dict(row)), number)
    return [rows[number] for number in sorted(places[place] for place in sorted(places)[:most])]
