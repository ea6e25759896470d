// The coder's screen. All that counts lives in Python: this file shows what Python says, keeps the
// marks on one text until they are confirmed, and says "saved" only when Python says so.
// Texts are only ever set as text nodes, never as HTML.

const GUARD = 400; // ms: nobody reads a text in less, so an Enter before is the second of a double press
const PATIENCE = 5000; // ms until the coder is told that Python does not answer

const HOW = {
  reject: ["Reject", " what does not apply; what you leave counts as accepted."],
  correct: ["Correct", ": reject what does not apply, and give the label that does."],
  blind: ["Blind", ": choose what applies; there are no proposals for this text."],
};

/** Make an element; strings among the children become text. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Labels that fit what was typed, best first: code, start of the name, of a word, anywhere, finer topics. */
function search(codebook, typed) {
  const wanted = typed.trim().toLowerCase();
  if (!wanted) return codebook.map((entry) => ({ entry }));
  const rank = (entry) => {
    const name = entry.name.toLowerCase();
    if (entry.code === wanted) return [0];
    if (name.startsWith(wanted)) return [1];
    if (name.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(wanted))) return [2];
    if (name.includes(wanted)) return [3];
    const finer = entry.finer.split("; ").find((part) => part.toLowerCase().includes(wanted));
    if (finer) return [4, finer];
    return entry.group.toLowerCase().includes(wanted) ? [5, entry.group] : null;
  };
  return codebook
    .map((entry) => ({ entry, rank: rank(entry) }))
    .filter((found) => found.rank)
    .sort((a, b) => a.rank[0] - b.rank[0])
    .map(({ entry, rank }) => ({ entry, why: rank[1] }));
}

class Review {
  constructor(model, el) {
    this.model = model;
    this.about = model.get("about");
    this.codebook = model.get("codebook");
    this.names = new Map(this.codebook.map((entry) => [entry.label, entry]));
    this.state = null; // what Python says
    this.marks = null; // {rejected: Set, given: [[label, level]], none}
    this.panel = null; // null, "search", "note" or "help"
    this.waiting = null; // the message that Python has not answered yet
    this.alert = "";
    this.said = "";
    this.root = h("section", {
      class: "review", tabindex: "0", "aria-label": `Review: ${this.about.task}`,
      onkeydown: (event) => this.onKey(event),
      onmousedown: (event) => this.onMouse(event),
    }, h("p", { class: "review-empty" }, "Waiting for Python. If nothing appears, run this cell again."));
    el.append(this.root);
    this.onMessage = (message) => this.receive(message);
    model.on("msg:custom", this.onMessage);
    this.send({ kind: "hello" });
  }

  close() {
    clearTimeout(this.timer);
    this.model.off("msg:custom", this.onMessage);
  }

  // --- talking to Python ---------------------------------------------------------------------

  get item() { return this.state && this.state.item; }

  packed() {
    const { rejected, given, none } = this.marks;
    return { rejected: [...rejected], given, none };
  }

  /** Ask Python to do something; nothing else is done until it answers. */
  ask(kind, more = {}) {
    if (this.waiting || !this.state) return;
    this.waiting = { kind, ticket: this.state.ticket, ...more };
    this.deliver();
    this.draw();
  }

  deliver() {
    clearTimeout(this.timer);
    if (!this.send(this.waiting)) return;
    this.timer = setTimeout(() => {
      this.alert = "Python has not answered yet. It may be busy. Press Enter to send again; that cannot "
        + "save anything twice.";
      this.draw();
    }, PATIENCE);
  }

  /** Send what was not answered once more, if the coder was told so. */
  again() {
    if (this.alert) this.deliver();
    this.draw();
  }

  /** Send a message; false if this kernel is gone. */
  send(message) {
    try {
      this.model.send(message);
      return true;
    } catch (error) {
      this.alert = `The kernel was restarted or is gone (${error.message}). Run this cell again: what was `
        + "saved is kept.";
      return false;
    }
  }

  receive(message) {
    const answered = this.waiting;
    if (message.kind === "error") {
      if (!answered || message.ticket !== answered.ticket) return;
      this.settle();
      this.alert = message.message;
    } else if (message.kind === "state") {
      const another = !this.state || this.state.ticket !== message.ticket;
      this.settle();
      this.state = message;
      if (message.said || another) this.said = message.said;
      if (another) this.take(message.draft);
      if (another || (answered && answered.kind === "note")) this.panel = null;
    }
    this.draw();
  }

  settle() {
    clearTimeout(this.timer);
    this.waiting = null;
    this.alert = "";
  }

  take(draft) {
    this.marks = { rejected: new Set(draft.rejected), given: draft.given.map((pair) => [...pair]), none: draft.none };
    this.shownAt = performance.now();
    this.root.scrollIntoView({ block: "nearest" });
  }

  // --- marks on the text ---------------------------------------------------------------------

  change(edit) {
    if (this.waiting || !this.item) return;
    edit(this.marks);
    this.alert = "";
    this.send({ kind: "mark", ticket: this.state.ticket, ...this.packed() });
    this.draw();
  }

  toggle(index) {
    const proposals = this.item.proposals.length;
    if (index >= proposals + this.marks.given.length) return;
    this.change((marks) => {
      if (index >= proposals) marks.given.splice(index - proposals, 1);
      else if (!marks.rejected.delete(index)) marks.rejected.add(index);
      else marks.none = false;
    });
  }

  rejectAll() {
    this.change((marks) => { marks.rejected = new Set(this.item.proposals.keys()); });
  }

  chooseNone() {
    if (!this.item || this.item.mode === "reject") return;
    this.change((marks) => {
      marks.none = !marks.none;
      if (!marks.none) return;
      marks.rejected = new Set(this.item.proposals.keys());
      marks.given = [];
    });
  }

  /** Give a label: what contradicts it goes, and a label that was proposed is accepted again. */
  give(label, level) {
    this.change((marks) => {
      const { proposals } = this.item;
      const rivals = (other) => this.about.single || other === label;
      marks.none = false;
      marks.given = marks.given.filter(([other]) => !rivals(other));
      proposals.forEach((proposal, index) => {
        if (rivals(proposal.label)) marks.rejected.add(index);
      });
      const proposed = proposals.findIndex((p) => p.label === label && p.level === level);
      if (proposed >= 0) marks.rejected.delete(proposed);
      else marks.given.push([label, level]);
    });
  }

  confirm() {
    if (!this.item || performance.now() - this.shownAt < GUARD) return;
    this.ask("confirm", this.packed());
  }

  // --- keys ----------------------------------------------------------------------------------

  onMouse(event) {
    if (event.target.closest("button, input, textarea, li[role=option], a")) return;
    // A click on the text focuses the widget, and still lets the coder select words.
    this.root.focus({ preventScroll: true });
  }

  onKey(event) {
    // Combinations such as Ctrl+S stay JupyterLab's; all else must not reach its shortcuts,
    // where x cuts the cell and Shift+Enter runs it.
    if (event.key === "Enter") event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    if (event.target.matches("input, textarea")) return; // has its own keys
    if (event.key === "Tab" || event.key === "Shift") return;
    const button = event.target.closest("button");
    if (button && (event.key === " " || (event.key === "Enter" && !button.matches(".review-choice")))) return;
    if (event.repeat || (event.shiftKey && event.key === "Enter")) return event.preventDefault();
    const act = this.keys()[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  keys() {
    if (this.panel === "help") return { Escape: () => this.open(null), "?": () => this.open(null) };
    const keys = {
      Enter: () => (this.waiting ? this.again() : this.confirm()),
      Backspace: () => this.ask("undo"),
      u: () => this.ask("undo"),
      s: () => this.item && this.ask("skip"),
      n: () => this.item && this.open("note"),
      a: () => this.item && this.rejectAll(),
      "/": () => this.item && this.item.mode !== "reject" && this.open("search"),
      0: () => this.chooseNone(),
      "?": () => this.open("help"),
      Escape: () => this.open(null),
    };
    for (let digit = 1; digit <= 9; digit++) keys[digit] = () => this.item && this.toggle(digit - 1);
    return keys;
  }

  open(panel) {
    if (this.waiting && panel !== "help" && panel !== null) return;
    this.panel = panel;
    this.draw();
    if (panel === null) this.root.focus({ preventScroll: true });
    else {
      this.root.querySelector("[data-first]").focus();
      this.root.querySelector(".review-panel, .review-help").scrollIntoView({ block: "nearest" });
    }
  }

  // --- drawing -------------------------------------------------------------------------------

  draw() {
    if (!this.state) return;
    const focused = this.root.contains(document.activeElement) && document.activeElement;
    const name = focused && focused.dataset.keep;
    const kept = this.root.querySelector(".review-panel[data-panel]");
    const typing = kept && kept.dataset.panel === this.panel ? kept : null;
    const at = typing && focused && typing.contains(focused) ? focused : null;
    this.root.setAttribute("aria-busy", String(Boolean(this.waiting)));
    this.root.replaceChildren(...[
      this.head(), this.item ? this.main() : this.finished(),
      typing || this.panelNode(), this.item && this.actions(), this.alertNode(), this.foot(),
      this.panel === "help" && this.help(),
    ].filter(Boolean));
    if (!focused) return;
    const again = at || (name && this.root.querySelector(`[data-keep="${name}"]`));
    (again || this.root.querySelector("[data-first]") || this.root).focus({ preventScroll: true });
  }

  head() {
    const { progress } = this.state;
    const share = progress.total ? progress.done / progress.total : 1;
    const [mode, how] = this.item ? HOW[this.item.mode] : ["", ""];
    const facts = [`${progress.done} of ${progress.total} decided`];
    if (progress.skipped) facts.push(`${progress.skipped} skipped`);
    if (progress.seconds != null) {
      facts.push(`today ${progress.today}, ${duration(progress.seconds)} per text`);
      if (progress.left) facts.push(`about ${duration(progress.left)} left`);
    }
    if (this.about.left_out) facts.push(`${this.about.left_out} without proposals left out`);
    return h("header", {},
      h("div", { class: "review-head" },
        h("h3", {}, this.about.question),
        this.item && h("p", { class: "review-how" }, h("b", {}, mode), how)),
      h("div", {
        class: "review-bar", role: "progressbar", "aria-label": "texts decided", "aria-valuemin": 0,
        "aria-valuemax": progress.total, "aria-valuenow": progress.done,
      }, h("div", { style: `width: ${100 * share}%` })),
      h("div", { class: "review-pace" }, facts.map((fact) => h("span", {}, fact)),
        h("span", { class: "review-id" }, `${this.about.coder}${this.item ? ` · ${this.item.id}` : ""}`)));
  }

  finished() {
    return h("div", { class: "review-main" }, h("p", { class: "review-text" },
      "All texts are decided and saved. Thank you! ", h("kbd", {}, "u"), " takes the last one back."));
  }

  main() {
    const { notes } = this.state;
    return h("div", { class: "review-main" },
      h("div", {},
        h("article", { class: "review-text", "aria-label": `text ${this.item.id}` }, this.item.text),
        notes.length > 0 && h("ul", { class: "review-notes", "aria-label": "your notes" },
          notes.map((note) => h("li", {}, note)))),
      h("div", {},
        h("p", { class: "review-caption" }, this.item.mode === "blind" ? "Your labels" : "Proposed labels"),
        h("ol", { class: "review-choices" }, this.choices())));
  }

  choices() {
    const { proposals, mode } = this.item;
    const { rejected, given, none } = this.marks;
    const rows = proposals.map((proposal, i) => this.choice(i, proposal, proposal.level, rejected.has(i)));
    given.forEach(([label, level], i) => rows.push(
      this.choice(proposals.length + i, this.names.get(label), level, false, "given by you")));
    if (none) rows.push(h("li", { class: "review-choice review-mine" },
      h("kbd", {}, "0"), h("span", { class: "review-label" }, "No label applies")));
    if (!rows.length) rows.push(h("li", { class: "review-empty" },
      mode === "blind" ? "None yet: " : "Nobody proposed a label: ",
      h("kbd", {}, "/"), " chooses one, ", h("kbd", {}, "0"), " says that none applies."));
    return rows;
  }

  choice(index, label, level, off, mine = "") {
    const facts = [`code ${label.code}`];
    if (label.votes) facts.push(`${label.votes} × proposed: ${label.labellers.join(", ")}`);
    if (mine) facts.push(mine);
    if (off) facts.push("rejected");
    return h("li", {}, h("button", {
      class: `review-choice${off ? " review-off" : ""}${mine ? " review-mine" : ""}`,
      role: "checkbox", "aria-checked": String(!off), "data-keep": `choice${index}`, type: "button",
      onclick: () => this.toggle(index),
    },
    h("kbd", { "aria-hidden": "true" }, index < 9 ? String(index + 1) : "·"),
    h("span", { class: "review-label" },
      h("span", { class: "review-name" }, level ? `${label.name}: ${level}` : label.name),
      h("small", {}, facts.join(" · "))),
    h("span", { class: "review-sign", "aria-hidden": "true" }, off ? "✕" : "✓")));
  }

  button(key, text, act, more = {}) {
    return h("button", { type: "button", "data-keep": text, disabled: Boolean(this.waiting), onclick: act, ...more },
      `${text} `, h("kbd", { "aria-hidden": "true" }, key));
  }

  actions() {
    const { mode, proposals } = this.item;
    return h("div", { class: "review-actions", role: "group", "aria-label": "what to do" },
      this.button("↵", "Confirm", () => this.confirm(), { class: "review-first" }),
      mode !== "reject" && this.button("/", "Label", () => this.open("search")),
      mode !== "reject" && this.button("0", "None applies", () => this.chooseNone()),
      proposals.length > 1 && this.button("a", "Reject all", () => this.rejectAll()),
      this.button("u", "Undo", () => this.ask("undo")),
      this.button("s", "Skip", () => this.ask("skip")),
      this.button("n", "Note", () => this.open("note")));
  }

  alertNode() {
    return this.alert && h("div", { class: "review-alert", role: "alert" }, h("b", {}, this.waiting ? "No answer. " : "Not saved. "),
      this.alert[0].toUpperCase() + this.alert.slice(1));
  }

  foot() {
    return h("div", { class: "review-foot" },
      h("span", { class: "review-said", role: "status", "aria-live": "polite" },
        this.waiting && !this.alert ? "Saving…" : !this.alert && this.said),
      h("span", { class: "review-hint" }, "Click here, then use the keyboard."),
      h("div", { class: "review-actions" }, this.button("?", "Keys", () => this.open("help"))));
  }

  panelNode() {
    if (this.panel === "search") return this.searchPanel();
    if (this.panel === "note") return this.notePanel();
    return null;
  }

  notePanel() {
    const box = h("textarea", { rows: 3, id: "review-note", "data-first": true, "data-keep": "note" });
    const save = () => (box.value.trim() ? this.ask("note", { text: box.value }) : this.open(null));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.open(null);
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (this.waiting) this.again(); else save();
    });
    return h("div", { class: "review-panel", "data-panel": "note" },
      h("label", { for: "review-note" }, "Note on this text"), box,
      h("div", { class: "review-row" }, h("kbd", {}, "Enter"), "saves", h("kbd", {}, "Shift+Enter"),
        "new line", h("kbd", {}, "Esc"), "closes without saving"));
  }

  /** Type to search a label and, where the task has them, its level. */
  searchPanel() {
    let label = null; // chosen, waits for its level
    let found = [];
    let at = 0;
    const caption = h("label", { for: "review-search" }, "Search the codebook");
    const list = h("ul", { class: "review-list", role: "listbox", id: "review-list", "aria-label": "labels found" });
    const input = h("input", {
      id: "review-search", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false",
      "aria-expanded": "true", "aria-controls": "review-list", "aria-autocomplete": "list",
      "data-first": true, "data-keep": "search",
    });
    const pick = (index) => {
      const choice = found[index];
      if (!choice) return;
      if (label === null && this.about.levels.length) {
        label = choice.value;
        caption.textContent = `How strong is it: ${this.names.get(label).name}?`;
        input.value = "";
        update();
        return;
      }
      this.panel = null;
      if (label === null) this.give(choice.value, "");
      else this.give(label, choice.value);
      this.root.focus({ preventScroll: true });
    };
    const show = () => {
      list.replaceChildren(...found.map((choice, i) => h("li", {
        role: "option", id: `review-option-${i}`, "aria-selected": String(i === at),
        onmousedown: (event) => { event.preventDefault(); pick(i); },
      }, choice.name, h("small", {}, choice.more))));
      if (!found.length) list.append(h("li", { class: "review-empty" }, "No label fits what you typed."));
      input.setAttribute("aria-activedescendant", found.length ? `review-option-${at}` : "");
      list.children[at]?.scrollIntoView({ block: "nearest" });
    };
    const update = () => {
      at = 0;
      if (label === null) {
        found = search(this.codebook, input.value).map(({ entry, why }) => ({
          value: entry.label, name: entry.name, more: why || `code ${entry.code}`,
        }));
      } else {
        const typed = input.value.trim().toLowerCase();
        found = this.about.levels.map((level, i) => ({ value: level, name: level, more: String(i + 1) }))
          .filter((choice) => choice.name.startsWith(typed) || choice.more === typed);
      }
      show();
    };
    input.addEventListener("input", update);
    input.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.isComposing) return;
      if (event.key === "Escape") this.open(null);
      else if (event.key === "Enter" && !event.repeat) pick(at);
      else if (step && found.length) { at = (at + step + found.length) % found.length; show(); }
      else return;
      event.preventDefault();
    });
    update();
    return h("div", { class: "review-panel", "data-panel": "search" }, caption, input, list,
      h("div", { class: "review-row" }, h("kbd", {}, "↑"), h("kbd", {}, "↓"), "move", h("kbd", {}, "Enter"),
        "takes", h("kbd", {}, "Esc"), "closes"));
  }

  help() {
    const rows = [
      ["1–9", "reject a proposal, or accept it again; remove a label that you gave"],
      ["a", "reject all proposals"],
      ["Enter", "confirm: save, and go to the next text"],
      ["/", "search the codebook and give a label (correct and blind modes)"],
      ["0", "no label applies (correct and blind modes)"],
      ["u, Backspace", "undo: take back the last text and decide it again"],
      ["s", "skip: the text comes again at the end"],
      ["n", "write a note on the text"],
      ["Tab, Space", "move between the buttons; press one"],
      ["?", "show or close this list"],
    ];
    return h("div", { class: "review-help", role: "dialog", "aria-modal": "true", "aria-label": "Keys" },
      h("h3", {}, "Keys"),
      h("dl", {}, rows.map(([key, text]) => [h("dt", {}, key.split(", ").flatMap((k) => [h("kbd", {}, k), " "])), h("dd", {}, text)])),
      h("p", {}, "Each confirmed text is saved at once. You may close the page at any time and go on later."),
      h("div", { class: "review-row" }, h("button", {
        type: "button", class: "review-choice", style: "width: auto", "data-first": true, "data-keep": "help",
        onclick: () => this.open(null),
      }, "Close ", h("kbd", {}, "Esc"))));
  }
}

export default {
  render({ model, el }) {
    const review = new Review(model, el);
    return () => review.close();
  },
};
