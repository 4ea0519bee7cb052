"""Names in a text: the longest, subjects before objects, case where nothing else helps."""

from prospero.data.triples.triple import Triple
from prospero.knowledge.entities import EntityIndex

YORK, NEW_YORK = Triple("York", "in", "England"), Triple("New York", "in", "the States")
LEEDS, DOT = Triple("Leeds", "in", "England"), Triple("os.path", "module of", "os")
INDEX = EntityIndex([YORK, NEW_YORK, LEEDS, DOT])


def test_the_longest_name_counts():
    assert INDEX.about("Is New York large?") == [NEW_YORK]
    assert INDEX.about("York is not New York.") == [NEW_YORK, YORK]
    assert INDEX.about("os.path") == [DOT] and INDEX.about("Yorkshire pathos") == []


def test_objects_only_where_no_subject_is_named():
    assert INDEX.about("What lies in England?") == [YORK, LEEDS]
    assert INDEX.about("Leeds in England") == [LEEDS]


def test_case_counts_unless_nothing_is_found():
    assert INDEX.about("new york") == [NEW_YORK] and INDEX.about("york, Leeds") == [LEEDS]
