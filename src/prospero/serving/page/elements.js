// Building the page: elements whose text is always text, and what is said to those who cannot see it.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element; `facts` are attributes, functions become listeners, strings among `inside` become text nodes. */
export function element(name, facts = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(facts)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...inside);
  return made;
}

/** A button of words. */
export function button(words, act, facts = {}) {
  return element("button", { type: "button", click: act, ...facts }, words);
}

/** Let a text box be as high as its text, up to what the style allows. */
export function fit(box) {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
}

/**
 * Keep the end of a text in sight while it grows, until the reader goes up; `toEnd()` goes back to it.
 * Text may come faster than it is followed, so that being far from the end says nothing: the direction does.
 */
export function follow(scroll, content) {
  let following = true;
  let last = 0;
  const keepUp = () => following && scroll.scrollTo({ top: scroll.scrollHeight });
  scroll.addEventListener("scroll", () => {
    const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;
    if (below < 4) following = true;
    else if (scroll.scrollTop < last) following = false;
    else if (below < scroll.clientHeight) following = true;
    last = scroll.scrollTop;
  });
  for (const place of [content, scroll]) new ResizeObserver(keepUp).observe(place);
  const toEnd = () => {
    following = true;
    keepUp();
  };
  return { keepUp, toEnd };
}

/** Say something to a screen reader. */
export function announce(words) {
  byId("status").textContent = words;
}

/** Show a line above the message, or take it away; `action` is [words, function] of a button beside it. */
export function notice(words, action = null, kind = "alarm") {
  const place = byId("notice");
  place.replaceChildren();
  place.hidden = !words;
  place.className = kind;
  if (!words) return;
  place.append(element("span", {}, words));
  if (action) place.append(button(action[0], action[1]));
  place.append(button("Dismiss", () => notice(""), { class: "quiet" }));
}

/** Put text on the clipboard; whether it is there. A page that came over plain HTTP has no clipboard of its own. */
export async function copied(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // refused: the old way below may still be allowed
    }
  }
  const box = element("textarea", { class: "hidden", "aria-hidden": "true", tabindex: "-1" });
  box.value = text;
  const before = document.activeElement;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}

/** A button that copies what `text()` returns and says so for a moment. */
export function copyButton(text) {
  const made = button("Copy", async () => {
    const done = await copied(text());
    made.textContent = done ? "Copied" : "Not allowed";
    announce(done ? "Copied" : "The browser does not allow copying; select the text and copy it yourself");
    setTimeout(() => (made.textContent = "Copy"), 1500);
  }, { "data-act": "copy" });
  return made;
}
