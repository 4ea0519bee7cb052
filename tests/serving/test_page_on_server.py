"""The page before the real server: markup of a model, one that is stopped, a key."""

import time
from collections.abc import Callable

import pytest

from prospero.serving.guard import Access
from tests.browser import picture
from tests.serving.live import SAMPLING, Scripted, live, served, tiny_decoder

pytestmark = pytest.mark.processes

MARKUP = "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'> é😀."
KEY = "a-key-of-some-length"
CHANCES = "[...document.querySelectorAll('.token')].map((t) => [t.textContent, t.tokens.length, +t.dataset.chance])"


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_model_writes_is_text_with_its_probabilities(open_page):
    scripted = Scripted(MARKUP)
    models = (served(scripted, "said"), served(tiny_decoder(), "tiny"))
    with live(*models) as server:
        page = open_page(server.url)
        page.get_by_label("Max tokens").fill("300")
        page.get_by_label("Text to be continued").fill("<b>")
        page.keyboard.press("Control+Enter")
        page.get_by_text("ended by itself").wait_for()
        picture(page, "server")
        assert page.locator("#written .part").evaluate("(part) => part.textContent") == MARKUP
        spans = page.evaluate(CHANCES)
        assert spans == [[sign, len(sign.encode()), 9] for sign in MARKUP]
        assert page.text_content(".facts").startswith(f"said · {len(MARKUP.encode())} tokens · ")
        page.get_by_text("Chat", exact=True).click()
        for text in ("Hello", "And?"):
            page.get_by_label("Message").fill(text)
            page.get_by_label("Message").press("Enter")
            page.wait_for_selector(f".turn:nth-child({2 if text == 'Hello' else 4}) .facts")
        assert page.locator("#turns .assistant .text").all_text_contents() == [MARKUP, MARKUP]
        assert page.evaluate("window.hit") is None
        page.locator("#model").select_option("tiny")
        page.get_by_text("1.2K parameters, float32, reads 32 tokens at once; for completion.").wait_for()
        page.get_by_text("Completion", exact=True).click()
        page.get_by_label("Max tokens").fill("12")
        page.get_by_label("Seed").fill("1")  # by chance the text would end by itself in one of twenty
        page.get_by_label("Text to be continued").press("Control+Enter")
        page.get_by_text("as long as it may be").wait_for()
        assert page.inner_text("#written .facts").startswith("tiny · 12 tokens · ")


def test_stop_ends_the_writing_on_the_server(open_page, watched):
    scripted = Scripted("abc" * 500)
    scripted.gate.clear()
    with live(served(scripted, "slow", sampling=SAMPLING)) as server:
        page = open_page(server.url)
        page.get_by_text("Chat", exact=True).click()
        page.get_by_label("Max tokens").fill("1000")
        page.get_by_label("Message").fill("Hello")
        page.get_by_label("Message").press("Enter")
        page.locator("#turns .assistant .token").first.wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("stopped by you").wait_for()
        scripted.gate.set()
        until(lambda: server.service.workers["slow"].running == 0)
        assert scripted.steps < 1000
        page.get_by_label("Max tokens").fill("5000")
        page.get_by_label("Message").fill("Longer")
        page.get_by_label("Message").press("Enter")
        page.get_by_text("it must be from 1 to 4096").wait_for()
        watched[0].expect("400")


def test_the_key_of_the_server_opens_the_page(open_page, watched):
    with live(served(Scripted("Hello"), "said"), access=Access(KEY)) as server:
        page = open_page(server.url)
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_label("Key", exact=True).press("Enter")
        page.get_by_label("Text to be continued").fill("x")
        page.get_by_label("Text to be continued").press("Control+Enter")
        page.get_by_text("ended by itself").wait_for()
        watched[0].expect("401")
