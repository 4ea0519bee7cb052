"""A picture and its caption: the picture (and a prompt, where there is one) is read, the caption is learnt."""

from dataclasses import dataclass

from prospero.data.rendering.prompt_response import PromptResponse
from prospero.data.template import Template


@dataclass(kw_only=True, slots=True)
class CaptionConfig:
    """A picture first, then perhaps a prompt, then the caption; each text a template over the fields of a record."""

    prompt: str = ""
    """What stands between picture and caption, such as "{question} "; each {field} stands for a field of the record."""
    caption: str = "{caption}"
    """What is learnt, likewise; it is followed by the separator, which ends it."""

    def build(self) -> "Caption":
        """Return the rendering; ConfigError for what is no template."""
        return Caption(Template(self.prompt, "rendering.prompt"), Template(self.caption, "rendering.caption"))


class Caption(PromptResponse):
    """See the head of this file."""

    reads_picture = True
