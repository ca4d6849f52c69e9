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

  // The arrow keys move from event to event.
  log?.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const row = step && event.target.closest("table[data-rows] tbody tr");
    const link = row?.[step]?.querySelector(".what a");
    if (!link) return;
    event.preventDefault();
    link.focus();
  });
}
