"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const count = data.ids.length;
  const at = (id) => document.getElementById(id);
  const visible = (text) =>
    text === "" ? "∅" : text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/\r/g, "␍").replace(/[\u0000-\u0008\u000b-\u001f]/g, "·");
  // In lists a space is seen: a token that is nothing but spaces, and the one that most words begin with.
  const spelled = (token) => {
    const text = data.texts[token];
    if (/^ +$/.test(text)) return text.length > 3 ? `␣×${text.length}` : "␣".repeat(text.length);
    return visible(text.replace(/^ /, "␣"));
  };
  const percent = (p) => (p >= 0.0995 ? (100 * p).toFixed(0) : (100 * p).toFixed(1)) + " %";
  const mixed = (rgb, share) => `rgba(${rgb}, ${Math.max(0, Math.min(1, share)).toFixed(3)})`;
  let chosen = count - 1, layer = 0, head = 0;

  // The rows of a head stand one after another, each up to the diagonal.
  const attention = data.attention.map((heads) => heads.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));
  const weight = (l, h, row, column) => (column > row ? 0 : attention[l][h][(row * (row + 1)) / 2 + column] / 255);

  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const tip = at("tip");
  const hover = (target, text) => {
    target.addEventListener("mousemove", (event) => {
      tip.textContent = text();
      tip.style.display = "block";
      tip.style.left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8) + "px";
      tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
    });
    target.addEventListener("mouseleave", () => (tip.style.display = "none"));
  };
  const facts = (place) => {
    const known = data.surprise[place];
    const own = `token ${place}: ${spelled(data.ids[place])} (id ${data.ids[place]})`;
    return known === null ? own : `${own}\n${known.toFixed(2)} bits, probability ${percent(2 ** -known)}, rank ${data.rank[place]}`;
  };
  const strip = (target, colour, tell) => {
    target.replaceChildren();
    data.ids.forEach((token, place) => {
      const text = data.texts[token];
      const span = element("span", "token" + (place === chosen ? " chosen" : ""), visible(text));
      colour(span, place);
      span.addEventListener("click", () => choose(place));
      hover(span, () => facts(place) + (tell ? "\n" + tell(place) : ""));
      target.append(span);
      if (text.endsWith("\n")) target.append(element("br"));
    });
  };

  const drawStrip = () => strip(at("strip"), (span, place) => {
    const bits = data.surprise[place];
    span.style.background = bits === null ? "#eef0f2" : mixed("228, 87, 46", bits / 16);
  });
  const drawNext = () => {
    const last = chosen === count - 1;
    at("chosen").textContent = `What comes after token ${chosen}, “${spelled(data.ids[chosen])}”`;
    const target = at("next"), following = last ? null : data.ids[chosen + 1];
    target.replaceChildren();
    for (const [token, p] of data.likely[chosen]) {
      const bar = element("div", "bar" + (token === following ? " own" : "")), fill = element("div");
      fill.style.width = 100 * p + "%";
      bar.append(element("span", "", spelled(token)), fill, element("span", "", percent(p)));
      target.append(bar);
    }
    if (!last) target.append(element("p", "quiet", `Came: ${facts(chosen + 1).replace("\n", ", ")}`));
  };
  const drawWhy = () => {
    const target = at("attributed"), why = at("why"), rows = data.attributions;
    if (rows === null) { why.textContent = "Not computed (attribution=none)."; target.replaceChildren(); return; }
    const values = rows[chosen + 1];
    const what = chosen === count - 1 ? `the likeliest next token, “${spelled(data.likely[chosen][0][0])}”` : `the next token, “${spelled(data.ids[chosen + 1])}”`;
    const sum = values.reduce((a, b) => a + b, 0);
    why.textContent = `What each token added to the log-probability of ${what} (green: for it, red: against it); ${sum.toFixed(2)} nats together, beside a text of mean embeddings.`;
    const most = Math.max(1e-9, ...values.map(Math.abs));
    strip(target, (span, place) => {
      if (place > chosen) { span.classList.add("later"); return; }
      span.style.background = mixed(values[place] >= 0 ? "44, 160, 84" : "214, 39, 40", (0.85 * Math.abs(values[place])) / most);
    }, (place) => (place > chosen ? "later than what is explained" : `${values[place].toFixed(3)} nats`));
  };
  const drawLens = () => {
    const table = at("lens");
    table.replaceChildren();
    const top = element("tr");
    top.append(element("th", "", ""), ...data.ids.map((token) => element("th", "", spelled(token))));
    table.append(top);
    [...data.places.keys()].reverse().forEach((c) => {
      const row = element("tr");
      row.append(element("th", "", data.places[c]));
      data.lens[c].forEach((best, place) => {
        const cell = element("td", place === chosen ? "column" : "", spelled(best[0][0]).slice(0, 12));
        cell.style.background = mixed("44, 160, 84", 0.9 * best[0][1]);
        hover(cell, () => `${data.places[c]}, after ${spelled(data.ids[place])}\n` + best.map(([token, p]) => `${percent(p).padStart(7)}  ${spelled(token)}`).join("\n"));
        cell.addEventListener("click", () => choose(place));
        row.append(cell);
      });
      table.append(row);
    });
  };
  const paint = (canvas, l, h, cell) => {
    const context = canvas.getContext("2d");
    canvas.width = canvas.height = count * cell;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (let row = 0; row < count; row++) for (let column = 0; column <= row; column++) {
      context.fillStyle = mixed("31, 78, 140", weight(l, h, row, column));
      context.fillRect(column * cell, row * cell, cell, cell);
    }
  };
  const drawLayers = () => {
    at("layers").replaceChildren(...attention.map((_, l) => {
      const button = element("button", l === layer ? "chosen" : "", `block ${l}`);
      button.addEventListener("click", () => { layer = l; drawAttention(); });
      return button;
    }));
    at("heads").replaceChildren(...attention[layer].map((_, h) => {
      const figure = element("figure", h === head ? "chosen" : ""), canvas = element("canvas");
      paint(canvas, layer, h, Math.max(1, Math.floor(96 / count)));
      canvas.style.width = canvas.style.height = "96px";
      figure.append(canvas, element("figcaption", "", `head ${h}`));
      figure.addEventListener("click", () => { head = h; drawAttention(); });
      return figure;
    }));
  };
  const drawHead = () => {
    const canvas = at("head"), cell = Math.max(1, Math.floor(960 / count));
    paint(canvas, layer, head, cell);
    const context = canvas.getContext("2d");
    context.strokeStyle = "#24292f";
    context.lineWidth = Math.max(1, cell / 8);
    context.strokeRect(0, chosen * cell, (chosen + 1) * cell, cell);
    at("headname").textContent = `Block ${layer}, head ${head}: where token ${chosen} looks`;
    let entropy = 0, distance = 0;
    for (let column = 0; column <= chosen; column++) {
      const w = weight(layer, head, chosen, column);
      if (w > 0) entropy -= w * Math.log2(w);
      distance += w * (chosen - column);
    }
    at("headfacts").textContent = `Of token ${chosen}: entropy ${entropy.toFixed(2)} bits, mean distance ${distance.toFixed(1)} tokens, ${percent(weight(layer, head, chosen, 0))} on the first token.`;
    strip(at("looking"), (span, place) => {
      if (place > chosen) { span.classList.add("later"); return; }
      span.style.background = mixed("31, 78, 140", 0.8 * weight(layer, head, chosen, place));
    }, (place) => (place > chosen ? "later, not seen" : `weight ${percent(weight(layer, head, chosen, place))}`));
  };
  const drawAttention = () => {
    at("attended").style.display = attention.length ? "" : "none";
    if (!attention.length) return;
    drawLayers();
    drawHead();
  };
  const choose = (place) => {
    chosen = place;
    drawStrip(); drawNext(); drawWhy(); drawLens();
    if (attention.length) drawHead();
  };
  at("head").addEventListener("click", (event) => {
    const box = at("head").getBoundingClientRect();
    choose(Math.min(count - 1, Math.floor(((event.clientY - box.top) / box.height) * count)));
  });
  hover(at("head"), () => "click a row to choose its token");
  addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" && chosen > 0) choose(chosen - 1);
    if (event.key === "ArrowRight" && chosen < count - 1) choose(chosen + 1);
  });
  choose(chosen);
  drawAttention();
})();
