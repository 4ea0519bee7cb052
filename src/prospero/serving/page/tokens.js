// A text as it grows, each token of it an element that knows its probability.
//
// Text and tokens arrive side by side, and the text is what counts: a token may be half a character, its text may be
// held back, and what ends an answer is no part of it. Where tokens do not spell the text they are taken together.
// A token is as store.js has it; its fourth part, where there is one, helps with halves of characters: its bytes, or the
// number of characters before it.

const HALF = "\ufffd"; // stands for bytes that are no whole character
const LONGEST = 4; // bytes of a character

/** Tokens of a piece of a chat, as OpenAI shapes them. */
export function chatTokens(choice) {
  const content = choice.logprobs?.content ?? [];
  return content.map((token) => [
    token.token,
    token.logprob,
    (token.top_logprobs ?? []).map((other) => [other.token, other.logprob]),
    ...(token.bytes && token.token.includes(HALF) ? [token.bytes] : []),
  ]);
}

/** Tokens of a piece of a completion, as OpenAI shapes them. */
export function textTokens(choice) {
  const facts = choice.logprobs;
  return (facts?.tokens ?? []).map((text, at) => [
    text,
    facts.token_logprobs[at],
    Object.entries(facts.top_logprobs?.[at] ?? {}).sort((a, b) => b[1] - a[1]),
    ...(facts.text_offset ? [facts.text_offset[at]] : []),
  ]);
}

/** What tokens spell by their bytes; null where that is no text. */
function spelt(tokens) {
  const bytes = tokens.flatMap(([text, , , hint]) => hint ?? [...new TextEncoder().encode(text)]);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch {
    return null; // half a character, or none at all
  }
}

export class TokenText {
  /** Write into `place`, which is empty. */
  constructor(place) {
    this.place = place;
    this.tail = document.createTextNode(""); // what no token is known for yet
    place.append(this.tail);
    this.text = "";
    this.at = 0;
    this.waiting = [];
  }

  /** Add what has come. */
  add(text, tokens) {
    this.text += text;
    this.waiting.push(...tokens);
    while (this.waiting.length && this.settle());
    this.tail.data = this.text.slice(this.at);
  }

  /** No more will come: tokens that are left over stand for the text that is left over. */
  end() {
    if (this.waiting.length && this.at < this.text.length) this.mark(this.waiting, this.text.length);
    this.waiting = [];
    this.tail.data = this.text.slice(this.at);
  }

  /** Give the first waiting tokens their text; whether there was something to do. */
  settle() {
    const [text] = this.waiting[0];
    const rest = this.text.slice(this.at);
    if (text === "") return this.skip(1);
    if (rest.startsWith(text)) return this.mark([this.waiting.shift()], this.at + text.length);
    if (this.at === 0 && text.trimStart() !== text) {
      this.waiting[0] = [text.trimStart(), ...this.waiting[0].slice(1)]; // a space before an answer is not shown
      return true;
    }
    if (text.startsWith(rest) && !text.includes(HALF)) return false; // its text is still to come
    return this.together(rest);
  }

  /** Take the first tokens together, as many as it needs to spell whole characters. */
  together(rest) {
    const [, , , hint] = this.waiting[0];
    if (Array.isArray(hint)) {
      for (let count = 1; count <= Math.min(LONGEST, this.waiting.length); count += 1) {
        const text = spelt(this.waiting.slice(0, count));
        if (text !== null && rest.startsWith(text)) return this.mark(this.waiting.splice(0, count), this.at + text.length);
      }
      if (this.waiting.length < LONGEST) return false;
    }
    if (typeof hint === "number") {
      const count = this.waiting.findIndex((token) => token[3] > hint);
      if (count < 0) return false;
      const signs = [...rest].slice(0, this.waiting[count][3] - hint); // places count characters, not halves of UTF-16
      return this.mark(this.waiting.splice(0, count), this.at + signs.join("").length);
    }
    return this.upTo(rest);
  }

  /** Where nothing else is known: up to a token whose text stands a little further on. */
  upTo(rest) {
    for (let count = 1; count < this.waiting.length; count += 1) {
      const [text] = this.waiting[count];
      const place = text === "" || text.includes(HALF) ? -1 : rest.indexOf(text);
      if (place === 0) return this.skip(count);
      if (place > 0 && place <= 8 * count) return this.mark(this.waiting.splice(0, count), this.at + place);
    }
    return false;
  }

  skip(count) {
    this.waiting.splice(0, count);
    return true;
  }

  mark(tokens, end) {
    const made = document.createElement("span");
    made.className = "token";
    made.dataset.chance = Math.min(9, Math.floor(10 * Math.exp(tokens.reduce((sum, token) => sum + token[1], 0))));
    made.textContent = this.text.slice(this.at, end);
    made.tokens = tokens;
    this.tail.before(made);
    this.at = end;
    return true;
  }
}
