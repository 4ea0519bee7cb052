"""Templates: what stands for a field, and that a record is no template."""

import pytest

from prospero.data.template import Template
from prospero.errors import ConfigError


def test_fields_are_filled_and_braces_of_the_data_stay():
    template = Template("{a} and {b.c}: {a} {{kept}}", "template")
    assert template.fields == ["a", "b.c"]
    assert template.fill({"a": "{b.c}", "b.c": "{0} }{"}) == "{b.c} and {0} }{: {b.c} {kept}"
    assert Template("", "template").fields == [] and Template("", "template").fill({}) == ""


@pytest.mark.parametrize("text", ["{a", "a}", "{}", "{a:>10}", "{a!r}", "{ }"])
def test_what_is_no_template_is_refused(text):
    with pytest.raises(ConfigError, match=r"^template=.*\{\{ and \}\} for braces$"):
        Template(text, "template")
