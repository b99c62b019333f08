// While somebody makes the report again and again, the page loads itself again: gently.

const SCROLL = "stylebatch-scroll";
const SEEN = "stylebatch-seen";

// What the last load left; in private windows there may be no such place.
function remembered(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, String(value));
  } catch {
    // The page then begins at its top.
  }
}

function restoreScroll() {
  const told = remembered(SCROLL);
  remember(SCROLL, "");
  if (told) window.scrollTo({ top: Number(told), behavior: "instant" });
}

const isHeldStill = () => Boolean(report.refresh_s) && !byId("live-on").checked;

// Nothing is taken away from whoever looks at a picture, or types.
function isInUse() {
  const focused = document.activeElement;
  return opened !== null || focused?.matches("input[type=search], input[type=number], select");
}

function startLive(isStill) {
  if (!report.refresh_s) return;
  // Where it was not made again since the last load, whoever made it may have gone.
  const [at, times] = (remembered(SEEN) || "0 0").split(" ").map(Number);
  const same = at === report.made_at ? times + 1 : 0;
  remember(SEEN, `${report.made_at} ${same}`);
  // It may just take longer than the last time.
  const isSame = same > 2;
  const wait = report.refresh_s * (isSame ? Math.min(32, 2 ** (same - 2)) : 1);
  byId("live").hidden = false;
  byId("live-on").checked = !isStill;
  byId("live-text").textContent = isSame
    ? `not made again since; looks every ${seconds(wait)}`
    : `looks again every ${seconds(wait)}`;
  setInterval(() => {
    if (isHeldStill() || isInUse()) return;
    remember(SCROLL, window.scrollY);
    location.reload();
  }, wait * 1000);
  byId("live-on").addEventListener("change", () => writeAddress());
}
