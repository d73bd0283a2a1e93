/* What the pages share: elements, marks, and what anybody wrote as text nodes, never as markup. */
"use strict";
const ink = (() => {
  const LIMIT = 6000, PIECE = 4000;

  /* ---- building ------------------------------------------------------------------------------------------------ */

  /** An element; `props` that start with "on" are listeners, others attributes. Strings become text. */
  function el(name, props, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(props || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }
  const fill = (node, ...children) => node.replaceChildren(...children.flat(9).filter(Boolean));

  /* Marks as a hand draws them. */
  const STROKES = { right: "M3 14C6 16 8 19 10 22 13 14 18 7 26 2", wrong: "M4 5C10 10 17 17 23 23M22 3C17 9 10 17 3 23", ungradable: "M7 8C8 2 20 2 19 9 18 13 13 13 13 17M13 22.5v.5" };
  function drawn(outcome) {
    const make = (name, props) => { const node = document.createElementNS("http://www.w3.org/2000/svg", name); for (const [key, value] of Object.entries(props)) node.setAttribute(key, value); return node; };
    const svg = make("svg", { viewBox: "0 0 28 26", class: `tick ${outcome}`, "aria-hidden": "true" });
    svg.append(make("path", { d: STROKES[outcome] }));
    return svg;
  }

  /* ---- what models wrote --------------------------------------------------------------------------------------- */

  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

  /** Plain text as nodes; characters that cannot be seen, or that turn the text around, are shown by their number. */
  function plain(text) {
    const nodes = [];
    let at = 0;
    for (const match of text.matchAll(HIDDEN)) {
      if (match.index > at) nodes.push(text.slice(at, match.index));
      const code = match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
      nodes.push(el("span", { class: "ctl", title: "a character that cannot be seen" }, `U+${code}`));
      at = match.index + match[0].length;
    }
    if (at < text.length) nodes.push(text.slice(at));
    return nodes;
  }

  /* $…$ as pandoc reads it: no space inside its ends, no digit after it; so "$5 and $7" is money. */
  const MATH = /\\\[([^]+?)\\\]|\\\(([^]+?)\\\)|\$\$([^$]+?)\$\$|(?<![\\$\d])\$(?![\s$])((?:[^$\\]|\\[^])*?[^\s\\$]|[^\s\\$])\$(?![\d$])/g;
  const BARE = /\\(?:d?frac|sqrt|boxed|pi|times|cdot|text|left|begin|le|ge|ne|infty|circ|angle|pm|sum|int|log|sin|cos|tan|overline|binom|theta|alpha|beta)\b|\^\{|_\{/;

  function formula(source, display) {
    const node = el("span", { role: "math", "aria-label": source });
    try {
      katex.render(source, node, { displayMode: display, throwOnError: true, trust: false, strict: "ignore", maxExpand: 300, maxSize: 12, output: "html" });
      return node;
    } catch {
      return null;
    }
  }

  /** Text with its formulas set; what is no formula that can be set stays as it was written. */
  function prose(text) {
    const nodes = [];
    let at = 0;
    for (const match of text.matchAll(MATH)) {
      const source = match[1] ?? match[2] ?? match[3] ?? match[4];
      const set = source.length <= 2000 ? formula(source, match[1] !== undefined || match[3] !== undefined) : null;
      if (match.index > at) nodes.push(...plain(text.slice(at, match.index)));
      nodes.push(...(set ? [set] : [el("span", { class: "broken-math" }, plain(match[0]))]));
      at = match.index + match[0].length;
    }
    if (at === 0 && text.length < 400 && BARE.test(text)) {
      const set = formula(text, false);
      if (set) return [set];
    }
    if (at < text.length) nodes.push(...plain(text.slice(at)));
    return nodes;
  }

  /** A long text in blocks that are laid out only when they are seen. */
  const inPieces = (text) => Array.from({ length: Math.ceil(text.length / PIECE) }, (_, place) => el("span", { class: "piece" }, plain(text.slice(place * PIECE, (place + 1) * PIECE))));

  /** What somebody wrote: long texts are cut, with a button for the rest. */
  function written(text, name = "span", props = {}, set = prose) {
    text = String(text ?? "");
    const node = el(name, { dir: "auto", ...props });
    if (text.length <= LIMIT) {
      node.append(...set(text));
      return node;
    }
    const all = el("button", { type: "button", class: "more", onclick: () => fill(node, inPieces(text)) }, `Show all ${text.length.toLocaleString("en")} characters`);
    node.append(...set(text.slice(0, LIMIT)), "…", all);
    return node;
  }
  const raw = (text) => written(text || "(no text)", "pre", { class: "raw", tabindex: "0" }, plain);
  const folded = (title, ...content) => el("details", {}, el("summary", {}, title), ...content);

  /* ---- the look ------------------------------------------------------------------------------------------------- */

  /** The button for light and dark, and what it was told last. */
  function theme() {
    const root = document.documentElement, remember = (value) => { try { localStorage.setItem("redink-theme", value); } catch { /* a page from a file may not remember */ } };
    try { if (localStorage.getItem("redink-theme")) root.dataset.theme = localStorage.getItem("redink-theme"); } catch { /* the same */ }
    document.getElementById("theme").addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      remember(root.dataset.theme);
    });
  }

  return { el, fill, drawn, plain, written, raw, folded, theme };
})();
