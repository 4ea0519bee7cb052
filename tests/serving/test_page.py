"""The page in a real browser, before a server whose answers are written down here."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import Open, picture
from tests.serving.fakes import FakeServer, listening

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.processes

FOREVER = [" and on"] * 5000
REVELS = ["Our", " revels", " now", " are", " ended", "."]


@pytest.fixture(scope="module")
def _listening() -> Iterator[tuple[FakeServer, str]]:
    fake = FakeServer()
    with listening(fake.app) as url:
        yield fake, url


@pytest.fixture
def fake(_listening: tuple[FakeServer, str]) -> FakeServer:
    """The server, as if nobody had asked it yet."""
    fake = _listening[0]
    fake.forget()
    return fake


@pytest.fixture
def visit(_listening: tuple[FakeServer, str], fake: FakeServer, open_page: Open) -> Callable[..., "Page"]:
    """Open the page, and wait until it has met the server."""

    def visited(**options: object) -> "Page":
        page = open_page(_listening[1], **options)
        if fake.key is None:
            page.wait_for_selector("#model:not([disabled])")
        return page

    return visited


def say(page: "Page", text: str) -> None:
    done(page)  # what is entered before stays in the box
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def done(page: "Page") -> None:
    page.wait_for_selector("body:not(.writing)")


def texts(page: "Page") -> list[str]:
    # inner_text is empty for a turn that has not been painted yet (content-visibility).
    return page.locator("#turns .text").all_text_contents()


def act(page: "Page", name: str) -> "Locator":
    return page.get_by_role("button", name=name, exact=True).last


def test_a_message_is_answered_and_the_next_carries_the_dialogue(visit, fake):
    page = visit()
    fake.answers = [REVELS, ["Yes", "."]]
    say(page, "What is over?")
    page.get_by_text("ended by itself").wait_for()
    assert texts(page) == ["What is over?", "Our revels now are ended."]
    assert re.fullmatch(r"tempest · 6 tokens · \d+ a second · ended by itself · seed \d+", page.text_content(".facts"))
    page.get_by_label("System prompt").fill(" Speak in verse. ")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Stop texts").fill("\\nUser:\nEnd")
    page.get_by_label("Seed").fill("7")
    say(page, "Sure?")
    page.get_by_text("seed 7").wait_for()
    first, second = fake.bodies
    assert first["messages"] == [{"role": "user", "content": "What is over?"}]
    assert first.keys() == {"model", "messages", "seed", "stream", "stream_options", "logprobs", "top_logprobs"}
    assert 0 <= first["seed"] < 2**31
    assert second["messages"] == [
        {"role": "system", "content": "Speak in verse."},
        {"role": "user", "content": "What is over?"},
        {"role": "assistant", "content": "Our revels now are ended."},
        {"role": "user", "content": "Sure?"},
    ]
    assert (second["temperature"], second["seed"], second["stop"]) == (0, 7, ["\nUser:", "End"])
    assert fake.left == 0
    picture(page, "chat")


@pytest.mark.parametrize("way", ["button", pytest.param("escape", marks=pytest.mark.deep)])
def test_an_answer_grows_while_it_comes_and_stops_when_told(visit, fake, way):
    page = visit()
    fake.answers, fake.pause = [FOREVER], 0.01
    say(page, "Go on")
    page.locator("#turns .text").nth(1).get_by_text("and on and on").first.wait_for()
    assert page.locator("body.writing").count() == 1
    picture(page, "writing")
    if way == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    page.get_by_text("stopped by you").wait_for()
    written = texts(page)[1]
    assert written.startswith(" and on and on")
    fake.wait_until_left()
    say(page, "And then?")
    page.get_by_role("button", name="Stop").click()
    done(page)
    assert fake.bodies[1]["messages"][1]["content"] == written


def more_tokens(page: "Page", n: int = 10) -> None:
    """Wait until `n` more tokens have come."""
    count = page.locator(".token").count()
    page.wait_for_function("(count) => document.querySelectorAll('.token').length >= count", arg=count + n)


BELOW = "(place) => place.scrollHeight - place.scrollTop - place.clientHeight"


@pytest.mark.deep
@pytest.mark.parametrize("mode", ["Chat", "Completion"])
def test_the_end_is_followed_until_the_reader_goes_up(visit, fake, mode):
    page = visit(height=500)
    fake.answers, fake.pause = [["many\nlines\n" * 2] * 3000], 0.02
    page.get_by_text(mode, exact=True).click()
    box = page.get_by_label("Message" if mode == "Chat" else "Text to be continued")
    box.fill("Go on")
    box.press("Enter" if mode == "Chat" else "Control+Enter")
    place = page.locator("#scroll" if mode == "Chat" else "#paper")
    page.wait_for_selector(".token:nth-of-type(30)")
    page.wait_for_function(f"(place) => ({BELOW})(place) < 500 && place.scrollTop > 1000", arg=place.element_handle())
    page.mouse.move(400, 300)
    page.mouse.wheel(0, -900)
    element = place.element_handle()
    page.wait_for_function(f"(place) => ({BELOW})(place) > 500", arg=element)
    more_tokens(page)
    top = place.evaluate("(place) => place.scrollTop")
    more_tokens(page)
    assert place.evaluate("(place) => place.scrollTop") == top
    place.evaluate("(place) => place.scrollTo(0, 1e9)")
    page.wait_for_function(f"(place) => ({BELOW})(place) < 500", arg=element)
    more_tokens(page)
    assert place.evaluate(BELOW) < 500
    page.keyboard.press("Escape")
    done(page)


@pytest.mark.deep
def test_what_was_written_when_the_page_is_left_is_there_again(visit, fake):
    page = visit()
    fake.answers, fake.pause = [FOREVER, ["Anew"]], 0.01
    say(page, "Go on")
    page.locator("#turns .text").nth(1).get_by_text("and on and on").first.wait_for()
    page.get_by_label("Message").fill("not sent yet")
    page.reload()
    page.get_by_text("· incomplete ·").wait_for()
    fake.wait_until_left()
    assert texts(page)[1].startswith(" and on and on")
    assert page.get_by_label("Message").input_value() == "not sent yet"
    act(page, "Regenerate").click()
    page.get_by_text("2 of 2").wait_for()
    assert texts(page) == ["Go on", "Anew"]


def test_an_answer_is_written_once_more_and_both_are_kept(visit, fake):
    page = visit()
    fake.answers = [["One"], ["Two"]]
    say(page, "Count")
    act(page, "Regenerate").click()
    page.get_by_text("2 of 2").wait_for()
    assert texts(page) == ["Count", "Two"]
    assert fake.bodies[0]["messages"] == fake.bodies[1]["messages"]
    assert fake.bodies[0]["seed"] != fake.bodies[1]["seed"]
    act(page, "Earlier version").click()
    assert texts(page) == ["Count", "One"]
    assert page.evaluate("document.activeElement.dataset.act") == "Later version"
    page.reload()
    page.get_by_text("1 of 2").wait_for()
    assert texts(page) == ["Count", "One"]


@pytest.mark.deep
def test_an_earlier_turn_is_changed(visit, fake):
    page = visit()
    fake.answers = [["One"], ["Two"], ["Three"]]
    say(page, "First")
    page.locator("#turns").get_by_text("One").wait_for()
    say(page, "Second")
    page.locator("#turns").get_by_text("Two").wait_for()
    done(page)
    edit = page.get_by_role("button", name="Edit")
    edit.nth(1).click()
    page.get_by_label("Change what the model said").fill("Uno")
    page.get_by_role("button", name="Save").click()
    assert texts(page) == ["First", "Uno", "Second", "Two"]
    edit.nth(0).click()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.act") == "edit"
    edit.nth(2).click()
    picture(page, "edit")
    page.get_by_label("Change your message").fill("Zweitens")
    page.keyboard.press("Enter")
    page.locator("#turns").get_by_text("Three").wait_for()
    done(page)
    assert texts(page) == ["First", "Uno", "Zweitens", "Three"]
    assert [one["content"] for one in fake.bodies[-1]["messages"]] == ["First", "Uno", "Zweitens"]


def test_a_text_is_continued_piece_by_piece(visit, fake):
    page = visit()
    fake.answers = [[" noises", ","], [" sounds"], [" airs"], ["!"]]
    page.get_by_text("Completion", exact=True).click()
    page.get_by_label("Text to be continued").fill("full of")
    page.keyboard.press("Control+Enter")
    act(page, "Continue").click()
    page.locator("#written").get_by_text("noises, sounds").wait_for()
    act(page, "Regenerate").click()
    page.get_by_text("2 of 2").wait_for()
    assert page.locator("#written .text").inner_text().strip() == "noises, airs"
    picture(page, "completion")
    act(page, "Take as prompt").click()
    assert page.get_by_label("Text to be continued").input_value() == "full of noises, airs"
    page.get_by_role("button", name="Complete", exact=True).click()
    page.locator("#written").get_by_text("!").wait_for()
    assert [body["prompt"] for body in fake.bodies] == ["full of", *["full of noises,"] * 2, "full of noises, airs"]
    assert fake.bodies[0]["logprobs"] == 5


HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 2'>",
    "<svg onload='window.hit = 3'>",
    "</textarea></div><iframe src='javascript:parent.hit = 4'></iframe>",
    "[x](javascript:window.hit=5) &lt;b&gt; \u202e\u0000",
]


def test_markup_of_a_model_is_text_and_nothing_runs(visit, fake):
    page = visit()
    fake.answers = [HOSTILE]
    say(page, HOSTILE[0])
    page.get_by_text("ended by itself").wait_for()
    shown = page.evaluate("[...document.querySelectorAll('#turns .text')].map((text) => text.textContent)")
    assert shown == [HOSTILE[0], "".join(HOSTILE)]
    page.locator("#turns .token").nth(1).hover()
    page.get_by_role("tooltip").get_by_text("onerror").wait_for()
    page.get_by_role("button", name="Edit").nth(1).click()
    assert page.get_by_label("Change what the model said").input_value() == "".join(HOSTILE)
    page.reload()
    page.locator("#turns .assistant").get_by_text("onerror").wait_for()
    page.get_by_text("Completion", exact=True).click()
    page.get_by_label("Text to be continued").fill(HOSTILE[1])
    page.keyboard.press("Control+Enter")
    act(page, "Take as prompt").click()
    assert page.evaluate("window.hit") is None
    assert page.locator("main :is(script, img, iframe, svg)").count() == 0


@pytest.mark.deep
def test_the_key_is_asked_for_and_goes_along(visit, fake, watched):
    fake.key = "sesame"
    page = visit()
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    dialog.get_by_text("Whoever runs it").wait_for()
    picture(page, "key")
    dialog.get_by_label("Key").fill("wrong")
    dialog.get_by_label("Key").press("Enter")
    dialog.get_by_text("did not accept the key").wait_for()
    dialog.get_by_label("Key").fill("sésame")
    dialog.get_by_role("button", name="Use this key").click()
    dialog.get_by_text("plain letters").wait_for()
    dialog.get_by_label("Key").fill("sesame")
    dialog.get_by_role("button", name="Use this key").click()
    page.wait_for_selector("#model:not([disabled])")
    say(page, "Open")
    page.locator("#turns").get_by_text("Hello there.").wait_for()
    page.reload()
    page.wait_for_selector("#model:not([disabled])")
    fake.key = "other"
    say(page, "Again")
    dialog.wait_for()
    fake.key = "sesame"
    dialog.get_by_label("Key").fill("sesame")
    dialog.get_by_label("Key").press("Enter")
    page.wait_for_selector(".turn:nth-child(4) .facts")
    assert texts(page) == ["Open", "Hello there.", "Again", "Hello there."]
    watched[0].expect("401")


def test_what_goes_wrong_is_said_and_tried_again(visit, fake, watched):
    page = visit()
    alert = page.get_by_role("alert")
    fake.refusals = [(429, "9 requests wait already"), (400, "max_tokens=0 is impossible"), (500, "a fault")]
    say(page, "Hello?")
    alert.get_by_text("The server is busy: 9 requests wait already. Try again in 3 s.").wait_for()
    picture(page, "busy")
    again = alert.get_by_role("button", name="Try again")
    again.click()
    alert.get_by_text("The server refused this (400): max_tokens=0 is impossible").wait_for()
    again.click()
    alert.get_by_text("The server failed (500): a fault").wait_for()
    page.route("**/v1/**", lambda route: route.abort())
    again.click()
    alert.get_by_text("The server cannot be reached").wait_for()
    page.unroute_all()
    fake.breaks_after = 2
    again.click()
    alert.get_by_text("The connection ended before the answer was complete").wait_for()
    assert texts(page) == ["Hello?", "Hello there"]
    fake.breaks_after = None
    again.click()
    page.get_by_text("ended by itself").wait_for()
    assert (alert.count(), texts(page)) == (0, ["Hello?", "Hello there."])
    for words in ("429", "400", "500", "ERR_FAILED"):
        watched[0].expect(words)


@pytest.mark.deep
def test_a_page_that_met_nobody_meets_the_server_later(visit, fake, watched):
    page = visit()
    page.route("**/v1/models", lambda route: route.abort())
    page.reload()
    page.get_by_role("alert").get_by_text("The server cannot be reached").wait_for()
    page.get_by_role("button", name="Dismiss").click()
    say(page, "Hello?")
    page.get_by_role("alert").get_by_text("The server cannot be reached").wait_for()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector("#model:not([disabled])")
    page.get_by_label("Message").press("Enter")
    page.locator("#turns").get_by_text("Hello there.").wait_for()
    watched[0].expect("ERR_FAILED")


@pytest.mark.deep
def test_a_setting_that_cannot_be_is_said_before_anything_is_sent(visit, fake):
    page = visit()
    page.get_by_label("Top p").fill("1.5")
    assert page.get_by_label("Top p").get_attribute("aria-invalid") == "true"
    say(page, "Hello")
    page.get_by_role("alert").get_by_text("Top p: ").wait_for()
    assert (fake.bodies, page.get_by_label("Message").input_value()) == ([], "Hello")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Show", exact=True).click()
    assert page.evaluate("document.activeElement.id") == "top_p"
    page.get_by_role("button", name="Back to the model's own").click()
    page.get_by_label("Message").press("Enter")
    page.locator("#turns").get_by_text("Hello there.").wait_for()
    assert "top_p" not in fake.bodies[0]


@pytest.mark.deep
def test_probabilities_are_shown_by_mouse_and_by_keyboard(visit, fake):
    page = visit()
    fake.answers = [REVELS]
    say(page, "Now?")
    page.get_by_text("ended by itself").wait_for()
    card = page.get_by_role("tooltip")
    page.locator(".token").nth(1).hover()
    assert card.inner_text().split() == ["␣revels", "50", "%", "␣other", "25", "%"]
    page.mouse.move(5, 300)
    card.wait_for(state="hidden")
    page.locator("#turns .assistant .text").focus()
    for key, token in (("ArrowRight", "Our"), ("ArrowRight", "␣revels"), ("End", "."), ("ArrowLeft", "␣ended")):
        page.keyboard.press(key)
        assert card.locator(".chosen code").inner_text() == token
    assert page.get_by_role("status").inner_text() == "␣ended 50 %; ␣other 25 %"
    page.keyboard.press("Escape")
    assert card.is_hidden()
    page.get_by_label("Token probabilities").select_option("off")
    say(page, "Without")
    page.get_by_text("ended by itself").nth(1).wait_for()
    assert page.locator(".token").count() == len(REVELS)
    assert "logprobs" not in fake.bodies[1]


OVERFLOW = """() => Math.max(...[...document.querySelectorAll(
  'html, body, header, main, aside, .scroll, .turn, .text, #written, #composer'
)].map((e) => e.scrollWidth - e.clientWidth))"""
"""Pixels by which something is wider than its place, a place that scrolls or cuts it off included."""


def test_a_narrow_page_is_whole(visit, fake):
    page = visit(width=360, height=640)
    fake.answers = [["word " * 30, "x" * 200]]
    say(page, "y" * 200)
    page.get_by_text("ended by itself").wait_for()
    assert page.evaluate(OVERFLOW) == 0
    assert act(page, "Regenerate").evaluate("(b) => b.getBoundingClientRect().bottom") < 600  # the end is in sight
    picture(page, "narrow")
    page.locator(".token").first.hover()
    box = page.get_by_role("tooltip").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360
    page.get_by_role("button", name="Settings").click()
    assert page.evaluate("document.activeElement.id") == "system"
    picture(page, "narrow-settings")
    assert page.evaluate(OVERFLOW) == 0
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "panel"
    page.get_by_text("Completion", exact=True).click()
    page.get_by_label("Text to be continued").fill("z" * 300)
    page.get_by_role("button", name="Complete", exact=True).click()
    page.locator("#written").get_by_text("ended by itself").wait_for()
    assert page.evaluate(OVERFLOW) == 0


@pytest.mark.deep
@pytest.mark.parametrize("clipboard", [True, False])
def test_an_answer_is_copied_where_there_is_no_clipboard_too(visit, fake, clipboard):
    page = visit()
    if clipboard:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    else:  # as on a page that came over plain HTTP from another machine
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    fake.answers = [["two\n", " lines "]]
    say(page, "Copy")
    page.get_by_text("ended by itself").wait_for()
    act(page, "Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.get_by_label("Message").focus()
    page.keyboard.press("Control+v")
    assert page.get_by_label("Message").input_value() == "two\n lines "


def test_what_the_network_cuts_into_bytes_comes_together(visit, fake):
    page = visit()
    fake.answers, fake.slices = [["é", "😀", "\n\ndata: x", " end"]], 1
    say(page, "Cut")
    page.get_by_text("ended by itself").wait_for()
    assert texts(page)[1] == "é😀\n\ndata: x end"
    assert page.locator(".token").count() == 4


def ground(page: "Page") -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


LIGHT, DARK = "rgb(246, 247, 249)", "rgb(20, 22, 28)"


@pytest.mark.deep
def test_colours_follow_the_system_until_the_reader_chooses(visit):
    page = visit(dark=True)
    switch = page.get_by_role("button", name="Colours")
    assert ground(page) == DARK
    switch.click()
    assert ground(page) == LIGHT
    page.reload()
    assert ground(page) == LIGHT
    switch.click()
    page.emulate_media(color_scheme="light")
    assert ground(page) == DARK
    switch.click()
    assert ground(page) == LIGHT


@pytest.mark.deep
def test_all_of_it_is_reached_by_the_keyboard(visit, fake):
    page = visit()
    say(page, "Hello")
    page.get_by_text("ended by itself").wait_for()
    page.get_by_label("Model").focus()
    seen = []
    for _ in range(40):
        name = "document.activeElement.ariaLabel || document.activeElement.labels?.[0]?.innerText.split('\\n')[0]"
        seen.append(page.evaluate(f"({name} || document.activeElement.innerText || '').trim()"))
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    wanted = ["Model", "Chat", "Clear: begin anew", "Copy", "Edit", "Text of tempest", "Regenerate", "Message", "Send"]
    places = [seen.index(name) for name in wanted]
    assert places == sorted(places), seen
    assert {"Settings", "Temperature", "Seed empty: a new one for each answer"} <= set(seen)


@pytest.mark.deep
def test_clearing_begins_anew_and_stops_what_is_written(visit, fake):
    page = visit()
    fake.answers, fake.pause = [FOREVER], 0.01
    say(page, "Hello")
    page.get_by_text("and on").first.wait_for()
    page.get_by_role("button", name="Clear").click()
    fake.wait_until_left()
    page.get_by_text("Say something to tempest").wait_for()
    done(page)
    assert texts(page) == []
    fake.answers = [["Hello", "."]]
    say(page, "Anew")
    page.get_by_text("ended by itself").wait_for()
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Undo").click()
    assert texts(page) == ["Anew", "Hello."]
    page.get_by_role("button", name="Clear").click()
    page.reload()
    page.get_by_text("Say something to tempest").wait_for()


@pytest.mark.deep
def test_the_model_decides_the_way_of_writing_until_the_reader_does(visit, fake):
    page = visit()
    page.get_by_label("Model").select_option("base")
    page.get_by_label("Text to be continued").wait_for()
    page.get_by_text("820 parameters, float32, reads on without end; for completion.").wait_for()
    page.get_by_text("Chat", exact=True).click()
    page.get_by_text("It has not learnt dialogues").wait_for()
    page.get_by_label("Model").select_option("tempest")
    page.reload()
    page.get_by_text("Say something to tempest").wait_for()


ALIGNMENT = """async ([text, tokens, pieces]) => {
  const { TokenText } = await import("/page/tokens.js");
  const place = document.createElement("div");
  const view = new TokenText(place);
  const each = Math.ceil(text.length / pieces);
  for (let at = 0; at < pieces; at += 1) {
    const part = tokens.slice(at * Math.ceil(tokens.length / pieces), (at + 1) * Math.ceil(tokens.length / pieces));
    view.add(text.slice(at * each, (at + 1) * each), part.map(([token, ...hint]) => [token, -1, [], ...hint]));
  }
  view.end();
  return [place.textContent, [...place.children].map((span) => [span.textContent, span.tokens.length])];
}"""
HALF = "\ufffd"
CASES = [
    ("a b", [("a",), (" b",)], [("a", 1), (" b", 1)]),
    ("yes", [(" yes",)], [("yes", 1)]),
    ("é!", [(HALF,), (HALF,), ("!",)], [("é", 2), ("!", 1)]),
    ("ab😀 c", [("ab",), *[(HALF,)] * 4, (" c",)], [("ab", 1), ("😀", 4), (" c", 1)]),
    ("é", [(HALF,), (HALF,)], [("é", 2)]),
    ("éü", [(HALF, [byte]) for byte in "éü".encode()], [("é", 2), ("ü", 2)]),
    ("é😀.", [*((HALF, [byte]) for byte in "é😀".encode()), (".",)], [("é", 2), ("😀", 4), (".", 1)]),
    ("aéb", [(f"a{HALF}", [97, 0xC3]), (f"{HALF}b", [0xA9, 98])], [("aéb", 2)]),
    ("é😀.", [*[(HALF, 0)] * 2, *[(HALF, 1)] * 4, (".", 2)], [("é", 2), ("😀", 4), (".", 1)]),
    (f"{HALF}x", [(HALF, [0xC3]), ("x",)], [(HALF, 1), ("x", 1)]),
    (f"{HALF}xyz {HALF}", [(HALF, [0xC3]), *zip("xyz "), (HALF, [0xC3])], [(sign, 1) for sign in f"{HALF}xyz {HALF}"]),
    ("ab", [("ab",), ("<end>",)], [("ab", 1)]),
    ("ab", [("",), ("ab",), ("",)], [("ab", 1)]),
    ("end", [("end",), ("\nUs",), ("er:",)], [("end", 1)]),
    ("other words", [("nothing",), (" alike",)], [("other words", 2)]),
    ("", [("a",)], []),
]


def test_tokens_find_their_text_whatever_comes_together(visit):
    page = visit()
    for text, tokens, spans in CASES:
        for pieces in (1, 2, 3):
            shown, found = page.evaluate(ALIGNMENT, [text, tokens, pieces])
            assert shown == text
            if pieces == 1:
                assert [tuple(span) for span in found] == spans
            assert "".join(span for span, _ in found) in ("", text)
