"use strict";
/* Making elements. Whatever a run's files hold becomes text, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Return an element; `given` are attributes, properties (on..., checked, value, disabled) and dataset entries. */
function el(tag, given = {}, ...children) {
  return fill(document.createElement(tag), given, children);
}

/** Return an element of SVG. */
function svg(tag, given = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), given, children);
}

function fill(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "colour") paint(element, value);
    else if (["checked", "value", "disabled", "indeterminate", "hidden", "selected"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== "").map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** Colour a curve's element or a square; by the style's own object, which the page's policy allows. */
function paint(element, colour) {
  if (element.namespaceURI !== SVG) element.style.backgroundColor = colour;
  else if (element.matches(".band, .mark")) element.style.fill = colour;
  else element.style.stroke = colour;
}

/** Return the element of an id. */
function at(id) {
  return document.getElementById(id);
}

/** Put options into a select, keeping what is chosen where it still is one; `options` are [value, label]. */
function offer(select, options) {
  const wanted = options.map(([value]) => value).join("\n");
  if (select.dataset.offered === wanted) return;
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
  select.dataset.offered = wanted;
}
