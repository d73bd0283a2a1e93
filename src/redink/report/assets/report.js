/* The page's script: finds cases and shows them as marked work. What anybody wrote becomes text nodes, never markup. */
"use strict";
(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const DIFF_LIMIT = 1600, PAGE = 50;
  const GLYPH = { right: "✓", wrong: "✗", ungradable: "?" };
  const byId = (id) => document.getElementById(id);
  const desk = byId("desk"), form = byId("find"), hits = byId("hits"), article = byId("case");

  const { el, fill, drawn, plain, written, raw, folded } = ink;

  /* ---- differences, word by word ------------------------------------------------------------------------------- */

  const words = (text) => text.match(/\s+|[\p{L}\p{M}_]+|\d+(?:[.,]\d+)*|[^]/gu) || [];

  /** [kind, text] pieces from a to b: "same", "del", "ins"; longest common subsequence between what differs at all. */
  function difference(a, b) {
    const x = words(a), y = words(b);
    let head = 0, tail = 0;
    while (head < x.length && head < y.length && x[head] === y[head]) head++;
    while (tail < x.length - head && tail < y.length - head && x[x.length - 1 - tail] === y[y.length - 1 - tail]) tail++;
    const p = x.slice(head, x.length - tail), q = y.slice(head, y.length - tail);
    const middle = p.length > DIFF_LIMIT || q.length > DIFF_LIMIT ? [...p.map((w) => ["del", w]), ...q.map((w) => ["ins", w])] : common(p, q);
    return joinedPieces(cleared(joinedPieces(smoothed([...x.slice(0, head).map((w) => ["same", w]), ...middle, ...x.slice(x.length - tail).map((w) => ["same", w])]))));
  }
  /** A scrap that two changes have between them by chance, no longer than either, is part of the change. */
  function cleared(pieces) {
    const changed = (from, by) => { let length = 0; for (let at = from; pieces[at] && pieces[at][0] !== "same"; at += by) length += pieces[at][1].length; return length; };
    return pieces.flatMap((piece, place) => {
      const scrap = piece[0] === "same" && !piece[1].includes("\n") && piece[1].length <= Math.min(8, changed(place - 1, -1), changed(place + 1, 1));
      return scrap ? [["del", piece[1]], ["ins", piece[1]]] : [piece];
    });
  }
  function common(p, q) {
    const wide = q.length + 1, best = new Uint16Array((p.length + 1) * wide);
    for (let i = p.length - 1; i >= 0; i--)
      for (let j = q.length - 1; j >= 0; j--)
        best[i * wide + j] = p[i] === q[j] ? best[(i + 1) * wide + j + 1] + 1 : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
    const pieces = [];
    let i = 0, j = 0;
    while (i < p.length || j < q.length) {
      if (i < p.length && j < q.length && p[i] === q[j]) { pieces.push(["same", p[i]]); i++; j++; }
      else if (j >= q.length || (i < p.length && best[(i + 1) * wide + j] >= best[i * wide + j + 1])) pieces.push(["del", p[i++]]);
      else pieces.push(["ins", q[j++]]);
    }
    return pieces;
  }
  /** A space alone between two changes is part of the change. */
  function smoothed(pieces) {
    return pieces.flatMap((piece, place) => {
      const between = piece[0] === "same" && /^ +$/.test(piece[1]) && pieces[place - 1]?.[0] !== "same" && pieces[place + 1]?.[0] !== "same" && place > 0 && place < pieces.length - 1;
      return between ? [["del", piece[1]], ["ins", piece[1]]] : [piece];
    });
  }
  function joinedPieces(pieces) {
    const joined = [];
    for (const [kind, word] of pieces) {
      const last = joined[joined.length - 1];
      if (last && last[0] === kind) last[1] += word;
      else joined.push([kind, word]);
    }
    return joined;
  }

  /** A text with what is new in it against an earlier one (`keep` "ins"), or what is gone from it (`keep` "del"). */
  function against(earlier, later, keep) {
    if (earlier.length + later.length > 40000) return [written(keep === "ins" ? later : earlier)];
    return difference(earlier, later).filter(([kind]) => kind === "same" || kind === keep)
      .map(([kind, text]) => (kind === "same" ? el("span", {}, plain(text)) : el(kind, {}, plain(text))));
  }

  /** Texts side by side, each with what differs from its neighbour. `texts`: [{title, about, text}]. */
  function sideBySide(texts) {
    return el("div", { class: "opposite" }, texts.map((one, place) => {
      const before = texts[place - 1], after = texts[place + 1];
      const body = before ? against(before.text, one.text, "ins") : after ? against(one.text, after.text, "del") : plain(one.text);
      return el("section", { class: "side" }, el("h4", {}, one.title), el("p", { class: "eyebrow" }, one.about || ""), el("div", { class: "prose", dir: "auto" }, body));
    }));
  }

  /* ---- where cases come from ----------------------------------------------------------------------------------- */

  const bitOf = (outcome) => (outcome ? 2 ** Object.keys(settings.outcomes).indexOf(outcome) : 0);
  const meets = (work, model, bit, step) => (!model || work.model === model) && (!bit || (work.outcomes & bit) !== 0) && (!step || work.step === step);

  class Inlined {
    constructor(cases) {
      this.cases = cases;
      this.places = new Map(cases.map((one, place) => [one.id, place]));
      this.texts = [];
      const idle = (work) => (window.requestIdleCallback ? requestIdleCallback(work) : setTimeout(work, 30));
      const more = () => { this.prepare(100); if (this.texts.length < cases.length) idle(more); };
      idle(more);
    }
    /** The searched text of some more cases, in small letters. */
    prepare(count) {
      const from = this.texts.length;
      for (const one of this.cases.slice(from, from + count)) this.texts.push(searched(one).join("\n").toLowerCase());
    }
    static async read() {
      const packed = Uint8Array.from(atob(byId("cases").textContent.trim()), (c) => c.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Inlined(await new Response(stream).json());
    }
    find(query) {
      const bit = bitOf(query.outcome), step = Number(query.step) || 0;
      const wanted = (query.words || "").toLowerCase().split(/\s+/).filter(Boolean);
      if (wanted.length) this.prepare(this.cases.length);
      const found = [];
      this.cases.forEach((one, place) => {
        if (query.set && one.set !== query.set) return;
        if (query.subject && one.subject !== query.subject) return;
        if ((query.model || bit || step) && !one.works.some((work) => meets(work, query.model, bit, step))) return;
        if (wanted.length && !wanted.every((word) => this.texts[place].includes(word))) return;
        found.push(one);
      });
      return { total: found.length, offset: query.offset, lines: found.slice(query.offset, query.offset + PAGE) };
    }
    case(id) { return this.cases[this.places.get(id)] ?? null; }
  }

  /** The texts that search looks through: the same list as `texts` of redink/report/cases.py. */
  function searched(one) {
    const found = [one.id, one.question, one.answer, one.solution, one.subject, one.level, one.source];
    const steps = (list) => (list || []).forEach((step) => found.push(...step));
    const tries = (list) => (list || []).forEach((t) => found.push(t.reason, t.detail, t.raw));
    found.push(one.chain, one.refined?.text, ...(one.otherChains || []).map((row) => row.text));
    if (one.thought) { steps(one.thought.steps); found.push(one.thought.generalized, one.thought.answer); tries(one.thought.tries); }
    for (const work of one.works) {
      for (const part of [work.attempt, work.review, work.own]) found.push(part?.text);
      if (work.teacher) { steps(work.teacher.steps); found.push(work.teacher.error?.cause, work.teacher.error?.correction, work.teacher.answer); tries(work.teacher.tries); }
      (work.leftOut || []).forEach((row) => found.push(row.reason));
      (work.held || []).forEach((row) => tries(row.tries));
    }
    return found.map((text) => text || "");
  }

  class Served {
    async get(path, values) {
      const reply = await fetch(`${path}?${new URLSearchParams(values)}`);
      if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
      return reply.json();
    }
    find(query) { return this.get("api/find", { ...query, limit: PAGE }); }
    case(id) { return this.get("api/case", { id }); }
  }

  /* ---- the list ------------------------------------------------------------------------------------------------ */

  let source = null, asked = 0, last = null;
  const KEYS = ["words", "set", "subject", "model", "outcome", "step"];
  const state = () => new URLSearchParams(location.hash.slice(1));
  const link = (changes) => {
    const values = state();
    for (const [key, value] of Object.entries(changes)) (value ? values.set(key, value) : values.delete(key));
    values.delete("work");
    return `#work=1&${values}`;
  };
  const name = (model) => settings.names[model] || model || "teacher";

  function marks(work) {
    const has = (key) => work.outcomes & bitOf(key);
    if (has("right")) return has("broken") ? [["yes", "✓"], ["no", "✗"]] : has("kept") ? [["yes", "✓"], ["yes", "✓"]] : [["yes", "✓"]];
    if (has("wrong")) return has("repaired") ? [["no", "✗"], ["yes", "✓"]] : has("unmended") ? [["no", "✗"], ["no", "✗"]] : [["no", "✗"]];
    return has("held") ? [["no", "quarantined"]] : has("left_out") ? [["none", "left out"]] : [];
  }
  const SPOKEN = { "✓": "right", "✗": "wrong" };
  function badge(work) {
    const shown = marks(work);
    const spoken = shown.map(([, glyph]) => SPOKEN[glyph] || glyph).join(", then ");
    return el("span", {}, `${name(work.model)} `, shown.map(([style, glyph]) => el("span", { class: style, "aria-hidden": "true" }, glyph)), el("span", { class: "sr" }, spoken));
  }

  /** The works that the list of problems shows: up to four, and no repeated draws where there are others. */
  const shownWorks = (line) => {
    const single = line.works.filter((work) => !String(work.group).startsWith("repeats"));
    return (single.length ? single : line.works).slice(0, 4);
  };

  async function list() {
    const values = state(), number = ++asked;
    const query = Object.fromEntries(KEYS.map((key) => [key, values.get(key) || ""]));
    query.step = Number(query.step) || 0;
    query.offset = Math.max(0, Number(values.get("offset")) || 0);
    const found = await source.find(query);
    if (number !== asked) return;
    last = { ...found, query };
    const current = values.get("problem");
    fill(hits, found.lines.map((line) => el("li", {}, el("a", { href: link({ problem: line.id }), "aria-current": line.id === current ? "true" : null },
      el("span", { class: "q", dir: "auto" }, plain(line.question.slice(0, 200))),
      el("span", { class: "about" }, el("span", {}, line.subject || line.set), shownWorks(line).map(badge), line.works.length > shownWorks(line).length && el("span", {}, `+${line.works.length - shownWorks(line).length}`))))));
    const end = Math.min(found.total, found.offset + PAGE);
    byId("count").textContent = found.total ? `${(found.offset + 1).toLocaleString("en")}–${end.toLocaleString("en")} of ${found.total.toLocaleString("en")} problems` : "Nothing was found. Take a filter away.";
    byId("earlier").disabled = found.offset === 0;
    byId("later").disabled = end >= found.total;
    desk.dataset.answered = String(number);
  }

  /* ---- one case ------------------------------------------------------------------------------------------------ */

  const verdict = (part) => el("span", { class: part.outcome === "right" ? "yes" : "no" }, `${GLYPH[part.outcome]} ${part.outcome}`);
  const keyed = (step) => step[1] && written(step[1], "span", { class: "keyed" });

  function stepList(steps, error, marked) {
    return el("ol", {}, steps.map((step, place) => {
      const here = error && error.step === place + 1;
      return el("li", { class: here ? "marked" : null }, el("span", { class: "nr" }, String(place + 1)),
        el("span", {}, written(step[0]), keyed(step), here && marked));
    }));
  }

  /** The student's solution on ruled paper, with the teacher's note in the margin. */
  function sheet(one, work) {
    const attempt = work.attempt, error = work.teacher?.error;
    const lines = (attempt.steps.length ? attempt.steps : [[attempt.text]]).map((step, place) => {
      const wrong = error && error.step === place + 1, after = error && place + 1 > error.step;
      return el("li", { class: wrong ? "wrong" : after ? "after" : null },
        el("div", { class: "line" }, el("span", { class: "nr" }, el("span", {}, attempt.steps.length ? String(place + 1) : "")),
          el("div", {}, el("div", { class: "step" }, wrong ? el("span", { class: "struck" }, el("span", { class: "sr" }, "wrong step: "), written(step[0])) : written(step[0])), keyed(step) || null)),
        wrong ? note(error, work.teacher) : el("div", { class: "note" }));
    });
    const right = attempt.outcome === "right";
    const answer = el("li", { class: "answerline" },
      el("div", { class: "line" }, el("span", { class: "nr" }), el("div", { class: "step" }, "Answer: ", attempt.answer === null ? "none" : written(attempt.answer))),
      el("div", { class: `note${right ? " good" : ""}` }, drawn(attempt.outcome), el("span", { class: "sr" }, attempt.outcome),
        right ? null : [" ", attempt.outcome === "ungradable" ? `no answer to grade${attempt.why ? `: ${attempt.why}` : ""}` : ["it is ", written(one.answer)]],
        !right && !error && el("p", {}, unmarked(work))));
    return [el("ol", { class: "sheet" }, lines, answer),
      attempt.truncated && el("p", { class: "eyebrow" }, "The reply was cut by the token limit."),
      folded("As the student wrote it", raw(attempt.text))];
  }
  function unmarked(work) {
    if ((work.leftOut || []).some((row) => row.reason === "unlocated")) return "The teacher found no wrong step.";
    return (work.held || []).length ? "The teacher's marking was not accepted." : "Not marked by the teacher.";
  }
  const note = (error, teacher) => el("aside", { class: "note", "aria-label": "the teacher's note" },
    el("span", { class: "who" }, "Cause"), written(error.cause, "p", { class: "why" }),
    el("span", { class: "who" }, "Correction"), written(error.correction, "p", { class: "fix" }),
    teacher.rounds > 1 && el("p", { class: "eyebrow" }, `accepted in round ${teacher.rounds}`));

  /** The student's own correction opposite the teacher's. */
  function opposite(work) {
    const review = work.review, teacher = work.teacher, own = work.own;
    if (!review && !own && !teacher) return null;
    const sides = [];
    if (review) sides.push(reviewSide(review, teacher?.error));
    else if (own) sides.push(ownSide(work));
    if (teacher?.error) sides.push(teacherSide(teacher, review?.error || own?.error));
    if (work.pair?.kind === "confirmation") sides.push(confirmationSide(work.pair));
    return [el("h3", {}, review ? "The student looks it over" : own ? "The student's own correction" : "The teacher's correction"),
      sides.length > 1 && el("p", { class: "eyebrow" }, "Opposite: the teacher's. What differs in the teacher's words is underlaid."),
      el("div", { class: "opposite" }, sides)];
  }
  function found(error, truth) {
    if (!error) return truth ? "Marked no step." : "Marked no step, as the teacher would have it.";
    if (!truth) return `Marked step ${error.step}, though nothing is marked by the teacher.`;
    return error.step === truth.step ? `Found step ${error.step}.` : `Marked step ${error.step}; the teacher marks step ${truth.step}.`;
  }
  const marking = (error) => [written(error.cause, "em"), written(error.correction, "em")];
  function reviewSide(review, truth) {
    return el("section", { class: "side" }, el("h4", {}, "The student"), el("p", { class: "eyebrow" }, found(review.error, truth)),
      stepList(review.steps, review.error, review.error && marking(review.error)),
      el("p", { class: "answer" }, "Answer: ", review.answer === null ? "none" : written(review.answer), " ", verdict(review)),
      review.truncated && el("p", { class: "eyebrow" }, "The review was cut by the token limit."), folded("As the student wrote it", raw(review.text)));
  }
  function ownSide(work) {
    const error = work.own.error, truth = work.teacher?.error;
    return el("section", { class: "side" }, el("h4", {}, "The student"), el("p", { class: "eyebrow" }, `Given the ${truth ? truth.step - 1 : 0} steps before it. ${found(error, truth)}`),
      error ? [el("p", {}, written(error.cause, "em")), el("p", {}, written(error.correction))] : null, raw(work.own.text),
      work.pair ? el("p", { class: "eyebrow" }, "In the training pair this is the rejected side.") : null);
  }
  function teacherSide(teacher, mine) {
    const error = teacher.error;
    const inked = [el("em", {}, mine ? against(mine.cause, error.cause, "ins") : written(error.cause)), el("em", {}, mine ? against(mine.correction, error.correction, "ins") : written(error.correction))];
    return el("section", { class: "side teacher" }, el("h4", {}, "The teacher"), el("p", { class: "eyebrow" }, `Step ${error.step} is the first wrong one.`),
      stepList(teacher.steps, error, inked), el("p", { class: "answer" }, "Answer: ", written(teacher.answer)));
  }
  const confirmationSide = (pair) => el("section", { class: "side teacher" }, el("h4", {}, "As it should read"), el("p", { class: "eyebrow" }, "The solution is right: the false alarm is the rejected side of a training pair."),
    el("h4", {}, "chosen"), raw(pair.chosen), el("h4", {}, "rejected"), raw(pair.rejected));

  /** The inspector's remarks, round by round. */
  function rounds(title, tries, ending) {
    if (!tries.length) return null;
    return [el("h3", {}, title), el("ol", { class: "rounds" }, tries.map((one, place) => el("li", {},
      el("span", { class: "who" }, `Try ${place + 1}: ${one.reason.replaceAll("_", " ")}`), one.detail ? written(one.detail, "p", { class: "note" }) : null,
      one.raw ? folded("What it was about", raw(one.raw)) : null)), ending && el("li", {}, el("span", { class: "who" }, ending)))];
  }
  const accepted = (row) => rounds("The inspector's remarks", row.tries || [], `Accepted in round ${row.rounds}.`);
  const WHERE = { attempts: "solutions for training", replay: "reviews replayed in training", exposure: "error exposure", "exposure.first": "error exposure, before its training" };
  const DRAW = /^repeats\.r(\d+)$/;
  const tabName = (one, work) => {
    const draw = DRAW.exec(work.group);
    if (draw) return `${name(work.model)}, draw ${Number(draw[1]) + 1}`;
    const among = one.works.filter((other) => other.model === work.model && other.group === work.group);
    const round = /^round(\d+)$/.exec(work.group);
    if (round) return `${name(work.model)}, solutions of round ${round[1]}${among.length > 1 ? ` ${among.indexOf(work) + 1}` : ""}`;
    const place = WHERE[work.group] && one.works.some((other) => other.model === work.model && other.group !== work.group) ? `, ${WHERE[work.group]}` : "";
    return `${name(work.model)}${place}${among.length > 1 ? ` ${among.indexOf(work) + 1}` : ""}`;
  };

  function workPart(one, work) {
    return [work.attempt ? sheet(one, work) : null, opposite(work), work.teacher ? accepted(work.teacher) : null,
      (work.held || []).map((row) => rounds(`Quarantined at ${row.stage}`, row.tries)),
      (work.leftOut || []).length ? [el("h3", {}, "Left out"), el("p", {}, work.leftOut.map((row) => `${row.stage}: ${row.reason.replaceAll("_", " ")}`).join("; "))] : null];
  }

  const solution = (work) => (work.attempt.steps.length ? work.attempt.steps.map((step, place) => `${place + 1}. ${step.join("  ·  ")}`).join("\n") : work.attempt.text) + `\nAnswer: ${work.attempt.answer ?? "none"}`;

  /** Two solutions of the same problem, with what differs: before and after training. */
  function beforeAfter(one) {
    const able = one.works.filter((work) => work.attempt);
    if (able.length < 2) return null;
    const box = el("div", {}), options = () => able.map((work, place) => el("option", { value: place }, tabName(one, work)));
    const first = el("select", { "aria-label": "before" }, options()), second = el("select", { "aria-label": "after" }, options());
    second.value = String(able.length - 1);
    const show = () => fill(box, sideBySide([able[first.value], able[second.value]].map((work) => ({ title: tabName(one, work), about: `${GLYPH[work.attempt.outcome]} ${work.attempt.outcome}`, text: solution(work) }))));
    first.addEventListener("change", show);
    second.addEventListener("change", show);
    show();
    return [el("h3", {}, "Before and after"), el("div", { class: "choose" }, first, "→", second), box];
  }

  function thoughtPart(thought) {
    return folded("The teacher's thought", el("div", { class: "side" }, stepList(thought.steps, null, null), thought.generalized && el("p", { class: "eyebrow" }, "In general: ", written(thought.generalized)),
      el("p", { class: "answer" }, "Answer: ", written(thought.answer)), accepted(thought)));
  }

  /** ORION: the student's errors, and below them the teacher's chain beside the one that is learned. */
  function chainPart(one) {
    if (!one.chain) return null;
    const refined = one.refined, errors = one.works.filter((work) => work.exposed && work.attempt);
    const stands = errors.length ? "It stands: no rewriting was accepted." : "as it is learned";
    const chains = [{ title: "The teacher's chain", about: refined ? "what was taken out of it" : stands, text: one.chain }];
    if (refined) chains.push({ title: "The refined chain", about: `what is new in it; ${Math.round(100 * refined.similarity)} % of the word trigrams are the teacher's`, text: refined.text });
    return [el("h3", {}, refined ? "The teacher's chain, refined" : "The teacher's chain"),
      errors.length ? el("div", { class: "opposite" }, errors.map((work, place) => exposedError(work, errors.length > 1 ? ` ${place + 1}` : ""))) : null,
      sideBySide(chains), one.otherChains.length ? folded(`Other accepted rewritings (${one.otherChains.length})`, one.otherChains.map((row) => raw(row.text))) : null];
  }
  function exposedError(work, number) {
    const { count, step } = work.exposed, about = [count > 1 && `${count} solutions err alike`, step && `step ${step} is the first wrong one`].filter(Boolean).join("; ");
    const truth = step ? { step } : null;
    return el("section", { class: "side" }, el("h4", {}, `The student's error${number}`), el("p", { class: "eyebrow" }, about),
      work.attempt.steps.length ? stepList(work.attempt.steps, truth, []) : raw(work.attempt.text), el("p", { class: "answer" }, "Answer: ", work.attempt.answer === null ? "none" : written(work.attempt.answer)));
  }

  function showCase(one, values) {
    if (!one) return fill(article, el("p", { class: "empty" }, "There is no such problem here. It may be one that this page leaves out: `redink view` has them all."));
    const wanted = values.has("shown") ? Number(values.get("shown")) || 0 : one.works.findIndex((work) => meets(work, values.get("model"), bitOf(values.get("outcome")), Number(values.get("step")) || 0));
    const chosen = Math.min(Math.max(0, wanted), Math.max(0, one.works.length - 1));
    const panel = el("div", { id: "work", role: "tabpanel", tabindex: "-1" });
    const tabs = one.works.map((work, place) => el("button", { type: "button", role: "tab", class: DRAW.test(work.group) ? "draw" : null, "aria-controls": "work", "aria-selected": place === chosen ? "true" : "false", tabindex: place === chosen ? "0" : "-1", onclick: () => pick(place) }, badge({ ...work, model: work.model }), tabName(one, work) === name(work.model) ? null : el("span", { class: "eyebrow" }, tabName(one, work).slice(name(work.model).length))));
    const bar = el("div", { class: "tabs", role: "tablist", "aria-label": "solutions", onkeydown: arrows }, tabs);
    function pick(place) {
      tabs.forEach((tab, other) => { tab.setAttribute("aria-selected", String(other === place)); tab.tabIndex = other === place ? 0 : -1; });
      fill(panel, workPart(one, one.works[place]));
      history.replaceState(null, "", link({ shown: String(place) }));
    }
    function arrows(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const place = (tabs.findIndex((tab) => tab.tabIndex === 0) + step + tabs.length) % tabs.length;
      pick(place);
      tabs[place].focus();
    }
    article.pick = pick;
    const about = [one.set, one.subject, one.level && `level ${one.level}`, one.source && one.source !== one.subject ? one.source : null, one.id].filter(Boolean).join(" · ");
    fill(article,
      el("header", {}, el("p", { class: "eyebrow", dir: "auto" }, plain(about)), el("div", {}, el("a", { class: "back eyebrow", href: link({ problem: "", shown: "" }) }, "← all problems"),
        el("button", { type: "button", onclick: () => move(-1), title: "Earlier problem (k)" }, "Earlier"), el("button", { type: "button", onclick: () => move(1), title: "Later problem (j)" }, "Later"))),
      el("h2", { class: "sr" }, "Problem"), written(one.question, "p", { class: "question" }),
      el("p", { class: "gold" }, el("b", {}, "Gold answer: "), written(one.answer)),
      one.solution && folded("The gold solution", written(one.solution, "div", { class: "prose" })),
      one.thought && thoughtPart(one.thought), chainPart(one), one.works.length ? bar : null, panel, beforeAfter(one));
    if (one.works.length) fill(panel, workPart(one, one.works[chosen]));
    if (!one.works.length && one.thought) article.querySelector("details:last-of-type").open = true;
  }

  async function open() {
    const values = state(), id = values.get("problem");
    desk.classList.toggle("reading", Boolean(id));
    for (const one of hits.querySelectorAll("a")) one.toggleAttribute("aria-current", new URLSearchParams(one.hash.slice(1)).get("problem") === id);
    if (!id) return fill(article, el("p", { class: "empty" }, "Choose a problem to see what was written about it, and what the teacher marked."));
    if (article.dataset.shown === id && article.childElementCount) return;
    const one = await source.case(id);
    if (state().get("problem") !== id) return;
    article.dataset.shown = id;
    showCase(one, values);
    desk.dataset.opened = id;
  }

  /** The next or the one before among those found, over the ends of the page of the list. */
  async function move(by) {
    const place = last.lines.findIndex((line) => line.id === state().get("problem")) + by;
    if (place >= 0 && place < last.lines.length) location.hash = link({ problem: last.lines[place].id, shown: "" });
    else if (await turn(by)) location.hash = link({ problem: last.lines[by > 0 ? 0 : last.lines.length - 1].id, shown: "" });
  }
  async function turn(by) {
    const offset = last.offset + by * PAGE;
    if (offset < 0 || offset >= last.total) return false;
    history.replaceState(null, "", link({ offset: offset ? String(offset) : "" }));
    await list();
    hits.scrollTop = 0;
    return true;
  }

  /* ---- views --------------------------------------------------------------------------------------------------- */

  let seen = "";
  async function route() {
    const values = state(), work = values.has("work") || values.has("problem");
    byId("figures").hidden = work;
    desk.hidden = !work;
    byId("to-figures").toggleAttribute("aria-current", !work);
    byId("to-work").toggleAttribute("aria-current", work);
    if (!work || !source) return;
    for (const key of KEYS) if (document.activeElement !== form.elements[key]) form.elements[key].value = values.get(key) || "";
    const query = [...KEYS, "offset"].map((key) => values.get(key) || "").join("\n");
    if (!values.get("problem")) article.dataset.shown = "";
    try {
      if (query !== seen || !last) { seen = query; await list(); }
      if (!values.get("problem") && matchMedia("(min-width: 60.01rem)").matches && last.lines.length) history.replaceState(null, "", link({ problem: last.lines[0].id }));
      await open();
    } catch (failure) {
      byId("count").textContent = `This cannot be shown: ${failure.message}.`;
    }
  }
  let waiting = 0;
  function changed() {
    clearTimeout(waiting);
    const values = Object.fromEntries(KEYS.map((key) => [key, form.elements[key].value.trim()]));
    waiting = setTimeout(() => { history.replaceState(null, "", link({ ...values, offset: "" })); route(); }, source instanceof Served ? 30 : 0);
  }
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => { event.preventDefault(); changed(); });
  byId("clear").addEventListener("click", () => { form.reset(); changed(); });
  byId("earlier").addEventListener("click", () => turn(-1));
  byId("later").addEventListener("click", () => turn(1));
  addEventListener("hashchange", route);

  const help = byId("help");
  byId("keys").addEventListener("click", () => help.showModal());
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) - 1 : -1;
    if (event.key === "/") { event.preventDefault(); location.hash = link({}); form.elements.words.focus(); }
    else if (event.key === "f") location.hash = "#figures";
    else if (event.key === "w") location.hash = link({});
    else if (event.key === "?") help.showModal();
    else if (desk.hidden || !last) return;
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (digit >= 0 && article.querySelectorAll("[role=tab]").length > digit) article.pick(digit);
  });

  ink.theme();
  let opened = [];
  addEventListener("beforeprint", () => { opened.push(...document.querySelectorAll("details.numbers:not([open])")); opened.forEach((one) => { one.open = true; }); });
  addEventListener("afterprint", () => { opened.forEach((one) => { one.open = false; }); opened = []; });

  (async () => {
    route();
    source = settings.served ? new Served() : await Inlined.read();
    await route();
    document.documentElement.dataset.ready = "true";
  })().catch((failure) => { byId("count").textContent = `The cases cannot be read: ${failure.message}.`; });
})();
