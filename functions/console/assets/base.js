// Optional improvements: every page works without this script.
"use strict";

// Shows times in the user's time zone, with UTC as a tooltip.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
// Improves all elements below `root`. Elements that are added to the page later need it too.
const enhance = (root) => {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.dateTime.replace("T", " ").replace("Z", " UTC");
    time.textContent = local.format(at);
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
