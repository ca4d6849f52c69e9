// Runs the connection test without leaving the page, and shows questions as dialogs.
{
  const load = async (address, options) => {
    const response = await fetch(address, options);
    const html = await response.text();
    return { ok: response.ok, page: new DOMParser().parseFromString(html, "text/html") };
  };

  const announce = (text) => {
    document.querySelector("[data-announce]").textContent = text;
  };

  // While the test runs, the button says so. Then the card of the response replaces the destination's card.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("form[data-test]")) return;
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.getAttribute("aria-disabled")) return;
    const card = form.closest("section");
    const before = button.innerHTML;
    card.querySelector(".connection-test")?.remove();
    // Earlier messages do not apply any more.
    document.querySelectorAll("main > .notice[role=status]:not([data-announce])").forEach((notice) => notice.remove());
    button.setAttribute("aria-disabled", "true");
    button.className = "busy";
    button.textContent = "Testing…";
    document.querySelector("[data-announce]").className = "visually-hidden";
    announce("Testing…");
    try {
      const body = new URLSearchParams(new FormData(form));
      const { ok, page } = await load(form.action, { method: "POST", body });
      const found = ok && page.getElementById(card.id);
      if (!found) {
        document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
        scrollTo(0, 0);
        return;
      }
      card.replaceWith(document.adoptNode(found));
      enhance(found);
      const test = found.querySelector(".connection-test");
      announce(test.querySelector("h3").textContent);
      test.focus({ preventScroll: true });
      test.scrollIntoView({ block: "nearest" });
    } catch {
      button.removeAttribute("aria-disabled");
      button.className = "";
      button.innerHTML = before;
      announce("No response: there is no connection, or the test took too long. Test again.");
      document.querySelector("[data-announce]").className = "notice bad";
    }
  });

  // Shows the page of a question as a dialog. If that fails, the browser opens the page.
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-question]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !window.HTMLDialogElement) return;
    event.preventDefault();
    try {
      const { ok, page } = await load(link.href);
      const question = ok && page.getElementById("question");
      if (!question) throw new Error("no question");
      const dialog = document.createElement("dialog");
      dialog.setAttribute("aria-labelledby", "question-title");
      dialog.append(document.adoptNode(question));
      document.body.append(dialog);
      const no = dialog.querySelector("[data-no]");
      no.setAttribute("role", "button");
      no.addEventListener("click", (click) => {
        click.preventDefault();
        dialog.close();
      });
      no.addEventListener("keydown", (key) => {
        if (key.key !== " ") return;
        key.preventDefault();
        dialog.close();
      });
      dialog.addEventListener("close", () => {
        dialog.remove();
        link.focus();
      });
      dialog.showModal();
      no.focus();
    } catch {
      location.assign(link.href);
    }
  });
}
