// Optional improvements: every page works without this script.
"use strict";

// Shows times in the user's time zone, with UTC as a tooltip.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const minutes = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const axis = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
// Improves all elements below `root`. Elements that are added to the page later need it too.
const enhance = (root) => {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.dateTime.replace("T", " ").replace("Z", " UTC");
    time.textContent = ("short" in time.dataset ? axis : local).format(at);
  }
  for (const title of root.querySelectorAll("title[data-since]")) {
    const [since, until] = [title.dataset.since, title.dataset.until].map((millis) => new Date(Number(millis)));
    const text = title.textContent.slice(title.textContent.indexOf(" UTC: ") + " UTC: ".length);
    title.textContent = `${minutes.formatRange(since, until)}: ${text}`;
    title.closest("a")?.setAttribute("aria-label", title.textContent);
  }
  for (const note of root.querySelectorAll("[data-zone]")) {
    note.textContent = zone ? `Times are in your time zone, ${zone}.` : "Times are in your time zone.";
  }
  // The button copies the text. If the browser does not allow that, it selects the text.
  for (const button of root.querySelectorAll("[data-copy]")) {
    const before = button.innerHTML;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.closest("figure").querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.innerHTML = before; }, 2000);
    });
  }
};
enhance(document);

// What was just done is said once: a reload does not repeat it.
if (document.querySelector("[data-done]")) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  address.searchParams.delete("at");
  history.replaceState(history.state, "", address);
}

// The Tab key stops at one bar of a chart. The arrow keys move to the others.
document.addEventListener("keydown", (event) => {
  const link = event.target.closest?.(".chart svg a");
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!link || !step) return;
  const links = [...link.closest("svg").querySelectorAll("a")];
  const next = links[links.indexOf(link) + step];
  if (!next) return;
  event.preventDefault();
  link.setAttribute("tabindex", "-1");
  next.removeAttribute("tabindex");
  next.focus();
});
