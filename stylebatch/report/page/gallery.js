// The pictures: a page of cards, each with content, style and result.

const PER_PAGE = 60;

function picture(source, kind, what) {
  if (!source) return el("span", { class: `${kind} gap`, title: `${what} was not found` });
  const image = el("img", { class: kind, src: source, alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => {
    image.replaceWith(el("span", { class: `${kind} gap`, title: `${what} was not found` }));
  });
  return image;
}

// What a card says of a number: the one that is sorted by, else the loss.
function cardValue(at) {
  const key = chosen.sort === "name" ? "loss_total" : chosen.sort;
  const value = valueOf(key, at);
  if (value === null) return "";
  if (key === "finished") return moment(value);
  if (key === "seconds") return seconds(value);
  return `${SORTS[key].replace("score: ", "")} ${short(value)}`;
}

function variantText(at) {
  const pair = nameOf("pair", at) || "";
  const point = pair.includes(":") ? pair.slice(pair.indexOf(":") + 1) : "";
  const variant = valueOf("variant", at);
  return [point, variant > 1 ? `variant ${variant}` : ""].filter(Boolean).join(", ");
}

function describe(at) {
  const style = nameOf("style", at);
  const parts = [stem(contentOf(at)), style === null ? "as it was" : styleName(style)];
  return [...parts, variantText(at), nameOf("label", at)].filter(Boolean).join(", ");
}

function card(at) {
  const style = nameOf("style", at);
  const isOriginal = nameOf("kind", at) === "original";
  const trio = el(
    "button",
    { type: "button", class: isOriginal ? "trio alone" : "trio", "aria-label": describe(at) },
    picture(resultThumbnail(at), "result", "the image"),
  );
  if (!isOriginal) {
    trio.append(picture(contentThumbnail(at), "content", "the photograph"));
    trio.append(picture(styleThumbnail(style), "style", "the style"));
  }
  trio.addEventListener("click", () => openDetail(at));
  const isBelow = images.accepted[at] === 0;
  const extra = [variantText(at), nameOf("label", at)].filter(Boolean).join(" · ");
  return el(
    "li",
    { class: "card", "data-file": images.file[at] },
    trio,
    el(
      "p",
      { class: "caption" },
      el("span", { class: "name" }, stem(contentOf(at))),
      el("span", { class: "value" }, cardValue(at)),
      el("span", { class: "with" }, style === null ? "as it was" : styleName(style)),
      el("span", { class: "extra" }, extra),
      isBelow ? el("span", { class: "below" }, BELOW) : null,
    ),
  );
}

function showPage() {
  const pages = Math.max(1, Math.ceil(hits.length / PER_PAGE));
  chosen.page = Math.min(Math.max(1, Number(chosen.page) || 1), pages);
  const start = (chosen.page - 1) * PER_PAGE;
  byId("cards").replaceChildren(...hits.slice(start, start + PER_PAGE).map(card));
  byId("none").hidden = hits.length > 0;
  const whole = counted(images.n, "picture");
  byId("hits").textContent = hits.length === images.n ? whole : `${count(hits.length)} of ${whole}`;
  byId("pager").hidden = pages < 2;
  const select = byId("page");
  if (select.options.length !== pages) {
    options(select, Array.from({ length: pages }, (_, at) => [at + 1, count(at + 1)]));
  }
  select.value = chosen.page;
  byId("pages").textContent = count(pages);
  byId("page-before").disabled = chosen.page === 1;
  byId("page-after").disabled = chosen.page === pages;
}

function showHits() {
  choose();
  showPage();
}

function turnTo(page) {
  chosen.page = page;
  showPage();
  writeAddress();
  byId("gallery").scrollIntoView({ block: "start" });
}

function startGallery() {
  const form = byId("filters");
  let pending = 0;
  const changed = () => {
    readForm();
    chosen.page = 1;
    showHits();
    writeAddress();
  };
  form.addEventListener("input", (event) => {
    clearTimeout(pending);
    // Typing in a set of a hundred thousand must not stutter.
    pending = setTimeout(changed, event.target.name === "q" ? 120 : 0);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    chosen = { ...EMPTY, sort: chosen.sort, order: chosen.order };
    showForm();
    showHits();
    writeAddress();
  });
  byId("page-before").addEventListener("click", () => turnTo(chosen.page - 1));
  byId("page-after").addEventListener("click", () => turnTo(chosen.page + 1));
  byId("page").addEventListener("change", (event) => turnTo(Number(event.target.value)));
  const missing = (keys) => keys.some((key) => key === null);
  byId("inputs-lost").hidden = !(
    missing(images.content_thumbnails || []) || missing(Object.values(report.style_thumbnails))
  );
}
