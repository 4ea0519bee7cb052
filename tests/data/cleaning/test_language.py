"""The filter by language: what it keeps, how it names what it drops, its settings."""

import pickle

import pytest

from prospero.data.cleaning.language import LanguageConfig
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError
from tests.data.cleaning.declaration import ARTICLE_1, halves

pytest.importorskip("py3langid", reason="needs the extra language")


def outcome(text, **settings):
    result = LanguageConfig(**settings).build()(text)
    assert isinstance(result, Drop) or result is text
    return result.reason if isinstance(result, Drop) else "kept"


@pytest.mark.parametrize("code", sorted(set(ARTICLE_1) - {"id"}))
def test_each_language_is_kept_alone(code):
    """Stated: recall 1.0 on articles; precision 1.0, for no half of an article in another language is kept."""
    step = LanguageConfig(languages=[code]).build()
    assert step(ARTICLE_1[code]) is ARTICLE_1[code]
    assert not [other for other, text in halves() if other != code and not isinstance(step(text), Drop)]


def test_the_reason_names_the_language():
    assert outcome(ARTICLE_1["de"]) == "in the language de"
    assert outcome(ARTICLE_1["zh"]) == "in the language zh"
    assert outcome("12 34 == {}") == outcome("") == "language not clear"


def test_probabilities_of_the_wanted_ones_are_added():
    assert outcome(ARTICLE_1["id"], languages=["id"]) == "language not clear"
    assert outcome(ARTICLE_1["id"], languages=["id", "ms"]) == "kept"
    assert outcome(ARTICLE_1["id"], languages=["id"], among=["id", "en", "de"]) == "kept"
    assert outcome(ARTICLE_1["id"], languages=["id"], min_probability=0.0) == "kept"


def test_a_page_is_judged_by_its_beginning_middle_and_end():
    page = ARTICLE_1["en"] + ARTICLE_1["de"] * 3
    assert outcome(page, sample_characters=150) == "in the language de"


def test_it_travels_without_its_model():
    data = pickle.dumps(LanguageConfig().build())
    assert len(data) < 1000 and pickle.loads(data)(ARTICLE_1["en"]) == ARTICLE_1["en"]


def test_the_version_of_the_classifier_decides_what_is_prepared():
    identity = LanguageConfig(languages=["de"]).identity()
    assert identity["class"] == "LanguageConfig" and identity["languages"] == ["de"]
    assert identity["classifier"].startswith("py3langid 0.")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"languages": []}, "name a language"),
        ({"languages": ["english"]}, "no language 'english'; known: .*en,"),
        ({"among": ["de", "fr"]}, "leaves out en"),
        ({"among": ["en", "xx"]}, "no language 'xx'"),
        ({"min_probability": 65}, "from 0 to 1"),
        ({"sample_characters": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        LanguageConfig(**wrong).build()


def test_a_missing_package_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'prospero\[language\]'"):
        LanguageConfig().identity()
