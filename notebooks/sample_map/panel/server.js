// Questions to the user's Jupyter server, which answers also while the kernel runs a cell.

import { baseUrl } from "./elements.js";

const t = (english) => english; // marks a sentence that is translated where it is shown

/** Ask for JSON; an error is {error: a sentence}. */
export function askServer(name, query = {}) {
  return answerOf(`${name}?${new URLSearchParams(query)}`);
}

/** Have something changed: POST with content, or DELETE; an error is {error: a sentence}. */
export function tellServer(method, name, content) {
  const headers = { "Content-Type": "application/json" };
  const body = content && JSON.stringify(content);
  return answerOf(name, { method, body }, body ? headers : {});
}

async function answerOf(name, request = {}, headers = {}) {
  try {
    // behind a hub, a script that asks by cookie has to show that it is of this page
    const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
    const shown = token ? { ...headers, "X-XSRFToken": token } : headers;
    const answer = await fetch(`${baseUrl()}sample_map/${name}`, { ...request, headers: shown });
    const content = await answer.json();
    return answer.ok ? content : { error: content.message || answer.statusText };
  } catch {
    return { error: t("the server does not answer") };
  }
}

/** The address of the tiles of a layer. */
export function tilesOf(layer) {
  const query = new URLSearchParams(lookOf(layer));
  return `${baseUrl()}sample_map/tiles/{z}/{x}/{y}.png?${query}`;
}

/** How a layer is shown, as tiles are asked for. */
export function lookOf({ kind, name, colors, stretch, limits, below, stamp }) {
  const style = { confidence: "percent", probabilities: "percent", unknown: `below:${below}` }[
    kind
  ];
  const look = { scene: name, bands: colors.join(","), stretch: stretch.join(","), v: stamp };
  if (style) look.style = style;
  if (limits.length) look.limits = limits.join(",");
  return look;
}
