// While somebody makes the report again and again, the page loads itself again: gently.

const SCROLL = "stylebatch-scroll";

function keepScroll() {
  try {
    sessionStorage.setItem(SCROLL, String(window.scrollY));
  } catch {
    // Without it the page begins at its top.
  }
}

function restoreScroll() {
  try {
    const told = sessionStorage.getItem(SCROLL);
    sessionStorage.removeItem(SCROLL);
    if (told !== null) window.scrollTo(0, Number(told));
  } catch {
    // As above.
  }
}

function startLive() {
  if (!report.refresh_s) return;
  const box = byId("live-on");
  byId("live").hidden = false;
  byId("live-text").textContent = `again every ${seconds(report.refresh_s)}`;
  box.checked = !location.hash.includes("still=1");
  // Nothing is taken away from whoever is looking at a picture, or typing.
  const isBusy = () => opened !== null || document.activeElement?.matches("input[type=search], input[type=number], select");
  setInterval(() => {
    if (!box.checked || isBusy()) return;
    keepScroll();
    location.reload();
  }, report.refresh_s * 1000);
  box.addEventListener("change", () => writeAddress());
}
