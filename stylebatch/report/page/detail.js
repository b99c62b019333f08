// One picture: a slider from the photograph to the result, its numbers, its losses.

let opened = null;

const FACTS = [
  ["class", (at) => nameOf("label", at)],
  ["split", (at) => nameOf("split", at)],
  ["pair", (at) => nameOf("pair", at)],
  ["variant", (at) => (valueOf("variant", at) > 1 ? valueOf("variant", at) : null)],
  ["strength", (at) => (nameOf("kind", at) === "original" ? null : short(valueOf("strength", at)))],
  ["loss", (at) => short(valueOf("loss_total", at))],
  ["status", (at) => (nameOf("status", at) || "").replaceAll("_", " ")],
  ["evaluations", (at) => valueOf("evaluations", at)],
  ...SCORES.map((score) => [score, (at) => short(valueOf(score, at))]),
  ["accepted", (at) => (images.accepted[at] === 0 ? "no: below the thresholds" : null)],
  ["tried again", (at) => (valueOf("retries", at) ? `${valueOf("retries", at)} ×` : null)],
  ["took", (at) => seconds(valueOf("seconds", at))],
  ["device", (at) => nameOf("device", at)],
  ["finished", (at) => (valueOf("finished", at) ? moment(valueOf("finished", at)) : null)],
  ["settings", (at) => nameOf("settings_id", at)],
];

function showFacts(at) {
  const rows = FACTS.map(([name, value]) => [name, value(at)]);
  byId("detail-facts").replaceChildren(
    ...rows
      .filter(([, value]) => value !== null && value !== "" && value !== "–")
      .map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, String(value)))),
  );
  const log = images.file[at].replace(/\.png$/, "");
  const links = [
    ["image", imageLink(at)],
    ["photograph", inputLink(contentOf(at))],
    nameOf("style", at) && !nameOf("style", at).startsWith("blend:")
      ? ["style", inputLink(nameOf("style", at))]
      : null,
    [CSV, UNREAD].includes(images.log[at]) ? ["loss log", `../losses/${encoded(log)}.csv`] : null,
  ].filter(Boolean);
  byId("detail-links").replaceChildren(
    "Files: ",
    ...links.flatMap(([text, href], number) => [
      number ? ", " : "",
      el("a", { href, target: "_blank", rel: "noopener" }, text),
    ]),
  );
}

// Full size, or the thumbnail where that can't be read: it was moved, or no browser shows it.
function show(image, sources, onlost) {
  const left = sources.filter(Boolean);
  image.onerror = () => {
    const next = left.shift();
    if (next) image.src = next;
    else {
      image.removeAttribute("src");
      image.onerror = null;
      onlost();
    }
  };
  image.hidden = false;
  image.onerror();
}

// The photograph as the output has it is of the result's own size.
function originalOf(at) {
  const content = contentOf(at);
  for (let other = 0; other < images.n; other++) {
    if (nameOf("kind", other) === "original" && contentOf(other) === content) return other;
  }
  return null;
}

function showStage(at) {
  const isOriginal = nameOf("kind", at) === "original";
  const note = byId("stage-note");
  const stage = byId("stage");
  const result = byId("stage-result");
  const content = byId("stage-content");
  const tell = (text) => {
    note.textContent = text;
    note.hidden = false;
  };
  note.hidden = true;
  stage.classList.toggle("single", isOriginal);
  byId("slider-label").hidden = isOriginal;
  result.onload = () => {
    stage.style.aspectRatio = `${result.naturalWidth} / ${result.naturalHeight}`;
    stage.style.setProperty("--ratio", result.naturalWidth / result.naturalHeight);
  };
  show(result, [imageLink(at), resultThumbnail(at)], () => tell("The image was not found."));
  const original = isOriginal ? null : originalOf(at);
  const lost = () => {
    tell("The photograph was not found where the manifest says: only the result is shown.");
    content.hidden = true;
    stage.classList.add("single");
    byId("slider-label").hidden = true;
  };
  if (!isOriginal) {
    const sources = [original === null ? null : imageLink(original)];
    if (contentThumbnail(at) !== null) sources.push(inputLink(contentOf(at)), contentThumbnail(at));
    show(content, sources, lost);
  }
}

function showOthers(at) {
  const content = contentOf(at);
  const found = [];
  for (let other = 0; other < images.n; other++) {
    if (contentOf(other) === content) found.push(other);
  }
  byId("others").hidden = found.length < 2;
  byId("others-list").replaceChildren(
    ...found.slice(0, 60).map((other) =>
      el(
        "li",
        null,
        el(
          "button",
          {
            type: "button",
            "aria-label": describe(other),
            "aria-current": other === at ? "true" : null,
            onclick: () => showDetail(other),
          },
          picture(resultThumbnail(other), "result", "the image"),
        ),
      ),
    ),
  );
}

function showDetail(at) {
  opened = at;
  const style = nameOf("style", at);
  const more = variantText(at);
  const title = [stem(contentOf(at)), style === null ? "as it was" : styleName(style), more];
  byId("detail-title").textContent = title.filter(Boolean).join(" · ");
  const place = hits.indexOf(at);
  byId("detail-place").textContent =
    place < 0 ? "" : `${count(place + 1)} of ${count(hits.length)}`;
  byId("detail-before").disabled = place <= 0;
  byId("detail-after").disabled = place < 0 || place === hits.length - 1;
  const figure = byId("detail-style");
  figure.hidden = style === null;
  if (style !== null) {
    figure.replaceChildren(
      picture(styleThumbnail(style), "style", "the style"),
      el("figcaption", null, el("span", { class: "more" }, "style"), styleName(style)),
    );
  }
  showStage(at);
  showFacts(at);
  showOthers(at);
  showCurve(at);
  writeAddress({ image: images.file[at] });
}

function openDetail(at) {
  setSlider(50);
  showDetail(at);
  const dialog = byId("detail");
  if (!dialog.open) dialog.showModal();
  // Not the slider: arrow keys are to lead on.
  byId("detail-title").focus({ preventScroll: true });
}

function step(by) {
  const place = hits.indexOf(opened) + by;
  if (place < 0 || place >= hits.length) return;
  chosen.page = Math.floor(place / PER_PAGE) + 1;
  showDetail(hits[place]);
}

function setSlider(value) {
  const at = Math.min(100, Math.max(0, Math.round(value)));
  byId("slider").value = at;
  byId("stage").style.setProperty("--at", `${at}%`);
  byId("slider").setAttribute("aria-valuetext", `${at} % photograph, ${100 - at} % result`);
}

function onClosed() {
  const file = opened === null ? null : images.file[opened];
  opened = null;
  showPage();
  writeAddress();
  const cards = [...byId("cards").children];
  const back = cards.find((each) => each.dataset.file === file);
  if (back) back.querySelector("button").focus();
}

function startDetail() {
  const dialog = byId("detail");
  const stage = byId("stage");
  byId("slider").addEventListener("input", (event) => setSlider(Number(event.target.value)));
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    setSlider((100 * (event.clientX - box.left)) / box.width);
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) drag(event);
  });
  byId("detail-before").addEventListener("click", () => step(-1));
  byId("detail-after").addEventListener("click", () => step(1));
  byId("detail-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", onClosed);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("select, input") || event.altKey || event.ctrlKey || event.metaKey) {
      return; // the slider has arrow keys of its own
    }
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else return;
    event.preventDefault();
  });
}
