// Makes pages smoother. Every page works without it.
"use strict";

// Times in the reader's zone, with UTC at hand.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
// Everything in `root` that is not there without a script. What is put into the page later needs it, too.
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
  // Copying. Where the browser does not allow it, the text is selected.
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
