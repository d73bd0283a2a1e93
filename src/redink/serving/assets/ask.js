/* Asks the server a question and shows the reply as it comes: the solution on a sheet, then the red ink on it. */
"use strict";
(() => {
  const { el, fill, written, raw, folded } = ink;
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const form = document.getElementById("ask"), work = document.getElementById("work");
  const solveButton = document.getElementById("solve"), stopButton = document.getElementById("stop");
  const ENDED = {
    confirmed: "Looked over, and left as it is.",
    corrected: "Corrected, looked over again, and left as it is.",
    rounds: "Corrected; nobody has looked at the correction.",
    unreadable: "The last review could not be read; what stood before it stands.",
    off: "Not looked over.",
  };

  /* ---- what the student writes, read while it is written -------------------------------------------------------- */

  const inside = (text, tag) => new RegExp(`<${tag}>([^]*?)(?:</${tag}>|$)`).exec(text)?.[1].trim();
  const without = (text, tag) => text.replace(new RegExp(`<${tag}>[^]*?(?:</${tag}>|$)`), "");

  /** Steps and answer of a text that may end anywhere, in a tag too. */
  function read(text) {
    const whole = text.replace(/<\/?[A-Za-z]*\d*$/, "");
    const steps = whole.split(/<Step\d+>/).slice(1).map((part) => {
      const body = part.split(/<\/Step\d+>|<Generalized>|<Answer>/)[0];
      const error = body.includes("<Cause>") ? { cause: inside(body, "Cause"), correction: inside(body, "Correction") || "" } : null;
      return { text: ["Key", "Cause", "Correction"].reduce(without, body).trim(), key: inside(body, "Key"), error };
    });
    return { steps: steps.length ? steps : whole.trim() ? [{ text: without(whole, "Answer").trim() }] : [], answer: inside(whole, "Answer") };
  }

  /** A sheet's steps after its review: step k as it should read, then what followed from it. */
  function mended(review, error) {
    const steps = review.steps.map((step) => ({ text: step.text, key: step.key }));
    if (error && steps[error.step - 1]) steps[error.step - 1] = { text: error.correction };
    return steps;
  }

  /* ---- one reply as it comes ------------------------------------------------------------------------------------ */

  class Shown {
    constructor(question) {
      this.texts = [""];
      this.solved = null;
      this.drawnNow = false;
      this.sheets = el("div", {});
      this.doing = el("p", { class: "doing" }, "Solving …");
      this.end = el("div", {});
      fill(work, written(question, "p", { class: "question" }), this.sheets, this.doing, this.end);
    }

    piece({ round, text }) {
      while (this.texts.length <= round) this.texts.push("");
      this.texts[round] += text;
      this.doing.textContent = round === 0 ? "Solving …" : round === 1 ? "Looking it over …" : `Looking it over, round ${round} …`;
      this.later();
    }

    later() {
      if (this.drawnNow) return;
      this.drawnNow = true;
      requestAnimationFrame(() => { this.drawnNow = false; this.draw(); });
    }

    /** What is known of a round: the steps it says, the step it marks, its answer. */
    round(number) {
      const found = read(this.texts[number]);
      const place = found.steps.findIndex((step) => step.error);
      found.error = number && place >= 0 ? { step: place + 1, ...found.steps[place].error } : null;
      const told = number ? this.solved?.rounds[number - 1] : this.solved;
      if (!told) return found;
      const steps = told.steps.length ? told.steps.map((step) => ({ text: step.text, key: step.key })) : found.steps;
      return { steps, error: number ? told.error : null, answer: told.answer };
    }

    draw() {
      const rounds = this.texts.map((_, number) => this.round(number));
      let standing = rounds[0];
      const sheets = [];
      rounds.forEach((review, number) => {
        if (number === 0) return;
        sheets.push([standing, review, number]);
        const changed = review.error || (this.solved && review.answer && review.answer !== standing.answer && this.solved.final_answer === review.answer);
        if (changed) standing = { steps: mended(review, review.error), answer: review.answer, anew: !review.error };
      });
      if (!sheets.length || sheets[sheets.length - 1][0] !== standing) sheets.push([standing, null, rounds.length]);
      sheets.forEach((sheet, place) => this.sheet(place, ...sheet));
      while (this.sheets.children.length > sheets.length) this.sheets.lastChild.remove();
    }

    /** Draws a sheet; lines that are as they were stay as they are, so that what moves moves once. */
    sheet(place, solution, review) {
      let node = this.sheets.children[place];
      if (!node) {
        node = el("section", {}, place ? el("h3", { class: "round" }, solution.anew ? "Solved anew" : "As corrected") : null, el("ol", { class: "sheet" }));
        this.sheets.append(node);
      }
      const list = node.querySelector("ol"), error = review?.error, reading = review && !this.solved ? review.steps.length : 0;
      const lines = solution.steps.map((step, at) => ({
        ...step, nr: String(at + 1), wrong: error?.step === at + 1, after: Boolean(error) && at + 1 > error.step,
        eye: at + 1 === reading && !error, error: error?.step === at + 1 ? error : null,
      }));
      if (solution.answer !== undefined && solution.answer !== null) lines.push({ text: `Answer: ${solution.answer}`, nr: "", last: true, after: Boolean(error) });
      lines.forEach((line, at) => this.line(list, at, line));
      while (list.children.length > lines.length) list.lastChild.remove();
    }

    line(list, at, line) {
      const said = JSON.stringify([line.text, line.key, line.nr, line.wrong]);
      let node = list.children[at];
      if (!node || node.said !== said) {
        const text = line.wrong ? el("span", { class: "struck" }, el("span", { class: "sr" }, "wrong step: "), written(line.text)) : written(line.text);
        const fresh = el("li", {}, el("div", { class: "line" }, el("span", { class: "nr" }, el("span", {}, line.nr)),
          el("div", {}, el("div", { class: "step" }, text), line.key ? written(line.key, "span", { class: "keyed" }) : null)), el("aside", { class: "note" }));
        fresh.said = said;
        if (node) node.replaceWith(fresh);
        else list.append(fresh);
        node = fresh;
      }
      node.className = [line.wrong && "wrong", line.after && "after", line.eye && "eye", line.last && "answerline"].filter(Boolean).join(" ");
      const noted = JSON.stringify(line.error || null);
      if (node.noted !== noted) {
        node.noted = noted;
        fill(node.lastChild, line.error && [
          el("span", { class: "who" }, "Cause"), written(line.error.cause || "", "p", { class: "why" }),
          line.error.correction && [el("span", { class: "who" }, "Correction"), written(line.error.correction, "p", { class: "fix" })],
        ]);
      }
    }

    done(solved) {
      this.solved = solved;
      this.draw();
      this.doing.textContent = ENDED[solved.stopped];
      const before = solved.answer !== null && solved.answer !== solved.final_answer;
      fill(this.end,
        el("p", { class: "final", id: "final" }, "Answer: ", before && written(solved.answer, "del"), solved.final_answer === null ? "none" : written(solved.final_answer)),
        solved.truncated && el("p", { class: "eyebrow" }, "The solution was cut by the limit of tokens."),
        el("p", { class: "eyebrow" }, `${solved.tokens_in + solved.tokens_out} tokens, ${solved.rounds.length} of self-correction's rounds. A small student errs often, and so does its red ink.`),
        folded("As the student wrote it", this.texts.map((text) => raw(text))));
      work.dataset.state = "done";
    }

    failed(message) {
      this.doing.textContent = "";
      fill(this.end, el("p", { class: "trouble", role: "alert" }, message));
      work.dataset.state = "failed";
    }
  }

  /* ---- the wire ------------------------------------------------------------------------------------------------- */

  /** The events of a stream of server-sent events, one by one. */
  async function* events(reply) {
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (held + value).split("\n\n");
      held = parts.pop();
      for (const part of parts) if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
    }
  }

  async function ask(question, rounds, token, signal) {
    const shown = new Shown(question);
    try {
      const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
      const body = { model: settings.model, messages: [{ role: "user", content: question }], stream: true, redink: { rounds, return_trace: true } };
      const reply = await fetch("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal });
      if (!reply.ok) throw new Error((await reply.json()).error.message);
      for await (const event of events(reply)) {
        if (event.error) throw new Error(event.error.message);
        if (event.redink?.kind === "done") shown.done(event.redink.solved);
        else if (event.redink) shown.piece(event.redink);
      }
      if (!shown.solved) throw new Error("The reply ended early.");
    } catch (failure) {
      if (failure.name === "AbortError") shown.failed("Stopped.");
      else shown.failed(failure instanceof TypeError ? "The server cannot be reached." : failure.message);
    }
  }

  let stopping = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = form.elements.question.value.trim();
    if (!question || stopping) return;
    stopping = new AbortController();
    work.dataset.state = "asking";
    solveButton.disabled = true;
    stopButton.hidden = false;
    await ask(question, Number(form.elements.rounds.value), form.elements.token?.value, stopping.signal);
    stopping = null;
    solveButton.disabled = false;
    stopButton.hidden = true;
  });
  stopButton.addEventListener("click", () => stopping?.abort());
  form.elements.question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  ink.theme();
  document.documentElement.dataset.ready = "true";
})();
