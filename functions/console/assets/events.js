// The event viewer.
{
  // The user enters times in the local time zone. They are sent in UTC.
  const pad = (number) => String(number).padStart(2, "0");
  const toLocal = (text) => {
    const at = new Date(`${text}Z`);
    if (Number.isNaN(at.getTime())) return text;
    const date = [at.getFullYear(), pad(at.getMonth() + 1), pad(at.getDate())].join("-");
    const millis = at.getMilliseconds() ? `.${String(at.getMilliseconds()).padStart(3, "0")}` : "";
    const seconds = at.getSeconds() || millis ? `:${pad(at.getSeconds())}${millis}` : "";
    return `${date}T${pad(at.getHours())}:${pad(at.getMinutes())}${seconds}`;
  };
  const form = document.querySelector("form[data-filter]");
  const times = form ? [...form.querySelectorAll("input[type=datetime-local]")] : [];
  for (const input of times) if (input.value) input.value = toLocal(input.value);
  for (const note of form ? form.querySelectorAll("[data-zone-name]") : []) note.textContent = "(your time)";

  // The address of the filtered list, without the parameters that are empty.
  const address = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const isTime = times.some((input) => input.name === name);
      if (value) query.append(name, isTime ? new Date(value).toISOString() : value);
    }
    if (query.has("since") || query.has("until")) query.delete("range");
    return `${form.getAttribute("action")}?${query}`;
  };
  // Keeps the focus from page to page, if the browser allows session storage.
  const focusKey = "annals-filter-focus";
  const attempt = (work) => {
    try {
      return work();
    } catch {
      return null;
    }
  };
  const show = (focused) => {
    if (!form.reportValidity()) return;
    if (focused?.id) attempt(() => sessionStorage.setItem(focusKey, focused.id));
    location.assign(address());
  };
  if (form) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      show(document.activeElement);
    });
    // A changed checkbox or a chosen suggestion submits the form. After typing, the user presses Enter.
    form.addEventListener("change", (event) => {
      const isSuggestion = event.target.list && [...event.target.list.options].some((option) => option.value === event.target.value);
      if (event.target.type === "checkbox" || isSuggestion) show(event.target);
    });
    const focused = attempt(() => sessionStorage.getItem(focusKey));
    attempt(() => sessionStorage.removeItem(focusKey));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  // Whoever begins to type into a field is offered the values that occur, with their counts. They are read once.
  let isOffered = false;
  form?.addEventListener("focusin", async (event) => {
    if (isOffered || !event.target.list) return;
    isOffered = true;
    const answer = await fetch(form.dataset.occurring).catch(() => null);
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const values of page.querySelectorAll("[data-values]")) {
      const list = document.getElementById(`${values.dataset.values}-known`);
      const options = [...values.querySelectorAll("li")].map((item) => {
        const value = item.querySelector("[data-value]")?.textContent;
        if (!value || value.endsWith("…")) return null;
        const option = document.createElement("option");
        option.value = value;
        const name = item.querySelector("[data-name]")?.textContent;
        option.label = [name, `${item.querySelector(".number").textContent} of ${page.querySelector("[data-counted]").textContent}`].filter(Boolean).join(" · ");
        return option;
      });
      list?.replaceChildren(...options.filter(Boolean));
    }
  });

  // Adds older events below the others.
  const log = document.querySelector(".log");
  const older = async (event) => {
    const link = event.target.closest?.("a[data-older]");
    const rows = log.querySelector("table[data-rows] tbody");
    if (!link || !rows || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    link.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = [...page.querySelectorAll("table[data-rows] tbody tr")];
      const links = page.querySelector(".log .list-links");
      if (!links) throw new Error("no list");
      enhance(page);
      addAges(page);
      rows.append(...found.map((row) => document.adoptNode(row)));
      log.querySelectorAll(":scope > .hint").forEach((hint) => hint.remove());
      const hints = [...page.querySelectorAll(".log > .hint")];
      log.querySelector(".list-links").replaceWith(...hints.map((hint) => document.adoptNode(hint)), document.adoptNode(links));
      (found[0] ?? log).querySelector("a")?.focus();
    } catch {
      location.assign(link.href);
    }
  };
  log?.addEventListener("click", older);

  // Beside each time: how long ago it was.
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
  const addAges = (root) => {
    for (const time of root.querySelectorAll(".when time")) {
      const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
      const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units.at(-1);
      const age = document.createElement("span");
      age.className = "ago";
      age.textContent = relative.format(Math.round(seconds / length), unit);
      time.after(age);
    }
  };
  if (log) addAges(log);

  // One event opens beside the list, with the events above and below it in the list one key away. If that fails, its page opens.
  const links = () => [...log.querySelectorAll("table[data-rows] .what a")];
  const panel = document.createElement("dialog");
  panel.className = "panel";
  panel.setAttribute("aria-label", "Event");
  let shown;
  const button = (text, work) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", work);
    return made;
  };
  const step = (by) => {
    const all = links();
    const next = all[all.indexOf(shown) + by];
    if (next) open(next);
  };
  const open = async (link) => {
    try {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const content = page.querySelector("main");
      if (!content) throw new Error("no event");
      shown = link;
      const inside = document.createElement("div");
      inside.className = "inside";
      inside.append(...[...content.children].map((child) => document.adoptNode(child)));
      enhance(inside);
      const all = links();
      const [newer, older] = [button("Newer", () => step(-1)), button("Older", () => step(1))];
      newer.disabled = all[0] === link;
      older.disabled = all.at(-1) === link;
      const whole = document.createElement("a");
      whole.href = link.href;
      whole.textContent = "Open as a page";
      const controls = document.createElement("div");
      controls.className = "row controls";
      const close = button("Close", () => panel.close());
      controls.append(close, newer, older, whole);
      panel.replaceChildren(controls, inside);
      panel.scrollTop = 0;
      if (!panel.open) {
        document.body.append(panel);
        panel.showModal();
      }
      close.focus();
    } catch {
      location.assign(link.href);
    }
  };
  panel.addEventListener("close", () => {
    panel.remove();
    shown?.focus();
  });
  log?.addEventListener("click", (event) => {
    const link = event.target.closest?.("table[data-rows] .what a");
    if (!link || !window.HTMLDialogElement || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open(link);
  });

  // Keys: the arrows work in the list. Single letters can be switched off, as WCAG 2.1.4 asks.
  const keysOff = "annals-keys-off";
  const hasKeys = () => attempt(() => localStorage.getItem(keysOff)) !== "1";
  const table = log?.querySelector("table[data-rows]");
  if (table) {
    const note = document.createElement("p");
    note.className = "hint keys";
    note.innerHTML = "<input id=keys type=checkbox><label for=keys>Keys: <kbd>/</kbd> search, <kbd>j</kbd> and <kbd>k</kbd> move, <kbd>Enter</kbd> opens, <kbd>Esc</kbd> closes</label>";
    const box = note.querySelector("input");
    box.checked = hasKeys();
    box.addEventListener("change", () => attempt(() => localStorage.setItem(keysOff, box.checked ? "0" : "1")));
    table.after(note);
  }
  document.addEventListener("keydown", (event) => {
    if (!table || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input:not([type=checkbox]), select, textarea")) return;
    const isInList = event.target.closest?.("table[data-rows] tbody");
    const isArrow = ["ArrowDown", "ArrowUp"].includes(event.key);
    if (isArrow ? !isInList : !hasKeys()) return;
    const by = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (by && panel.open) {
      event.preventDefault();
      step(by);
    } else if (by) {
      const all = links();
      const at = all.indexOf(event.target.closest?.("tr")?.querySelector(".what a"));
      const next = at < 0 ? all[0] : all[at + by];
      if (!next) return;
      event.preventDefault();
      next.focus();
    } else if (event.key === "/" && !panel.open) {
      event.preventDefault();
      form.querySelector("input[type=search]").focus();
    }
  });

  // Exports everything that matches as one file: part by part, with progress. Without the script, each part has a page.
  const exportAll = async (start, progress, signal) => {
    const parts = [];
    let [events, name, next] = [0, "", start];
    const load = async (address) => {
      const answer = await fetch(address, { signal });
      if (!answer.ok) throw new Error(String(answer.status));
      return await answer.text();
    };
    while (next) {
      const page = new DOMParser().parseFromString(await load(next), "text/html");
      const link = page.querySelector("a[download]");
      if (link) {
        let text = await load(link.getAttribute("href"));
        name ||= link.getAttribute("download").replace(/-part-1(?=\.)/, "");
        // Each part of a CSV file has the header, and the decoder has removed the byte order mark.
        const isTable = name.endsWith(".csv");
        if (isTable) text = parts.length === 0 ? `\ufeff${text}` : text.slice(text.indexOf("\n") + 1);
        parts.push(text);
        events += Number(link.dataset.events);
      }
      progress(events);
      next = page.querySelector("a[data-next]")?.getAttribute("href");
    }
    return { events, name, file: new Blob(parts) };
  };
  const exports = document.querySelector("[data-exports]");
  let running;
  exports?.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a[data-export]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    running?.abort();
    const abort = (running = new AbortController());
    const said = exports.querySelector("[data-progress]");
    const cancel = button("Cancel", () => abort.abort());
    cancel.className = "quiet";
    exports.append(cancel);
    const count = (events) => `${events.toLocaleString()} ${events === 1 ? "event" : "events"}`;
    said.textContent = "Exporting…";
    try {
      const { events, name, file } = await exportAll(link.href, (events) => { said.textContent = `Exporting… ${count(events)}`; }, abort.signal);
      if (events === 0) {
        said.textContent = "No event matches. Export as";
      } else {
        const save = document.createElement("a");
        save.href = URL.createObjectURL(file);
        save.download = name;
        save.click();
        setTimeout(() => URL.revokeObjectURL(save.href), 60_000);
        said.textContent = `Exported ${count(events)}. Export again as`;
      }
    } catch {
      said.textContent = abort.signal.aborted ? "Cancelled. Export all that match as" : "The export failed. Try again as";
    }
    cancel.remove();
  });
}
