"""Facts before a prompt: as many as fit, the most relevant; they leave before the prompt is cut."""

from prospero.data.retrieval import Retrieval, Retrieved
from prospero.data.template import Template
from prospero.data.tokenizer.byte import ByteTokenizerConfig

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))


class Fixed(Retrieval):
    def find(self, prompt):
        return ["aaaa", "bbb", "cc"]

    def facts(self):
        return {}


def before(room, max_tokens=None):
    return Fixed(Template("[{facts}] {prompt}", "context"), max_tokens).before("ask", TOKENIZER, room)


def test_facts_that_fit_a_token_a_byte():
    assert before(None) == Retrieved("[aaaa bbb cc] ask", ("aaaa", "bbb", "cc"), 0)
    assert before(18).facts == ("aaaa", "bbb", "cc"), "17 bytes, and one that begins a text"
    assert before(17) == Retrieved("[aaaa bbb] ask", ("aaaa", "bbb"), 1)
    assert before(10) == Retrieved("ask", (), 3), "the prompt stays whole"
    assert before(1) == Retrieved("ask", (), 3)


def test_a_budget_of_their_own():
    assert before(None, max_tokens=11).facts == ("aaaa", "bbb") and before(None, max_tokens=6).facts == ()
    assert before(None, max_tokens=7).facts == ("aaaa",)
