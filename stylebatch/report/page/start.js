// All of it, from the first picture on.

function openTold(values) {
  if (!values.image) return;
  const at = images.file.indexOf(values.image);
  if (at >= 0) openDetail(at);
}

// A section's link leads there; the address goes on holding what is chosen.
function startSections() {
  for (const link of document.querySelectorAll(".skip, .strip a")) {
    link.addEventListener("click", (event) => {
      const section = byId(link.hash.slice(1));
      event.preventDefault();
      section.tabIndex = -1;
      section.scrollIntoView({ block: "start" });
      section.focus({ preventScroll: true });
    });
  }
}

async function start() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(time.dateTime);
    if (!Number.isNaN(at)) time.textContent = moment(at / 1000);
  }
  for (const part of report.images) add(part);
  if (report.image_scripts.length) {
    byId("hits").textContent = "Reading…";
    const parts = report.image_scripts.map((path, number) => bring("images", number, path));
    for (const [number, coming] of parts.entries()) {
      const part = await coming;
      if (part) add(part);
      if (number === 0) {
        showHits(); // something to see while the rest is read
        byId("hits").textContent = "Reading…";
      }
    }
  }
  const values = readAddress();
  fillForm();
  startGallery();
  startDetail();
  startSections();
  showHits();
  restoreScroll();
  startLive(values.still === "1");
  openTold(values);
  showTogether();
  showHistograms();
  showStyles();
  showSpeed();
  document.documentElement.dataset.ready = "yes";
}

start();
