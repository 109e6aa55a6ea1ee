// HTML and SVG elements, and where the server lies.

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function makeButton(children, attributes, onclick) {
  return Object.assign(make("button", { type: "button", ...attributes }, children), { onclick });
}

/** A part of the panel that unfolds. */
export function fold(name, title, children) {
  const attributes = { class: `sample-map-part sample-map-part-${name}` };
  const part = make("details", attributes, [make("summary", {}, [title]), ...children]);
  // what unfolds at the end of a page would be below its edge
  part.addEventListener("toggle", () => part.open && part.scrollIntoView({ block: "nearest" }));
  return part;
}

export function draw(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes))
    element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}

export function baseUrl() {
  return pageConfig().baseUrl || "/";
}

/** The address of the jobs' pages, behind the hub of this page. */
export function wpsUrl() {
  const { hubHost = "", hubPrefix = "/hub/" } = pageConfig();
  return `${hubHost}${hubPrefix.replace(/hub\/$/, "")}services/wps/`;
}

function pageConfig() {
  const config = document.getElementById("jupyter-config-data");
  return config ? JSON.parse(config.textContent) : {};
}
