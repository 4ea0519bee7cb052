// The server's HTTP: its models, and texts as they are written. What goes wrong becomes a Failure in words.

/** What the reader is told. `kind`: key (one is needed), gone (nobody answers), cut (in the middle), refused. */
export class Failure extends Error {
  constructor(kind, words) {
    super(words);
    this.kind = kind;
  }
}

/** The models the server has: [{id, prospero: {kind, context, parameters, precision, default_sampling}}]. */
export async function models(key) {
  const response = await request("v1/models", {}, key);
  return parsed(await response.text()).data;
}

/** Ask for a text; yields the pieces of the answer, as OpenAI shapes them, until [DONE]. */
export async function* pieces(path, body, key, signal) {
  const options = { method: "POST", signal, headers: { "Content-Type": "application/json" } };
  const response = await request(path, { ...options, body: JSON.stringify(body) }, key);
  let complete = false;
  for await (const data of events(response.body)) {
    complete ||= data === "[DONE]"; // read on to the end: whoever leaves before it has left early
    if (complete) continue;
    const piece = parsed(data);
    if (piece.error) throw new Failure("cut", `The server gave up: ${piece.error.message}`);
    yield piece;
  }
  if (!complete) throw new Failure("cut", "The connection ended before the answer was complete.");
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure("cut", "What came is no answer of this server; something between it and this page spoke.");
  }
}

async function request(path, options, key) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("gone", "The server cannot be reached. Is it still running, and is the network there?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  let said = "";
  try {
    said = (await response.json()).error.message;
  } catch {
    said = response.statusText; // not ours: a proxy in between
  }
  const { status } = response;
  if (status === 401) return new Failure("key", "This server asks for a key.");
  if (status !== 429 && status !== 503) {
    return new Failure("refused", `The server ${status < 500 ? "refused this" : "failed"} (${status}): ${said}`);
  }
  const seconds = response.headers.get("Retry-After");
  const later = /^\d+$/.test(seconds ?? "") ? `in ${seconds} s` : "in a moment";
  return new Failure("refused", `The server is busy: ${said.replace(/\.$/, "")}. Try again ${later}.`);
}

/** The data of each event of a stream (text/event-stream), comments and other fields left out. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await read(reader);
      if (done) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever reads no further ends the request; it may have ended already
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("cut", "The connection broke before the answer was complete.");
  }
}
