// Makes pages smoother. Every page works without it.
"use strict";

// Times in the reader's zone, with UTC at hand.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  time.title = time.dateTime.replace("T", " ").replace("Z", " UTC");
  time.textContent = local.format(at);
}
for (const note of document.querySelectorAll("[data-zone]")) {
  note.textContent = zone ? `Times are in your time zone, ${zone}.` : "Times are in your time zone.";
}

// Copying.
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  const before = button.innerHTML;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.closest("figure").querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.innerHTML = before; }, 2000);
  });
}
