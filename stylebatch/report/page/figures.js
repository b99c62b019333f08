// The sections below the pictures: scores, styles, speed, losses of many images together.

function table(caption, heads, rows) {
  return el(
    "table",
    null,
    el("caption", null, caption),
    el("thead", null, el("tr", null, ...heads.map(([name, isNumber]) => el("th", { scope: "col", class: isNumber ? "num" : null }, name)))),
    el("tbody", null, ...rows),
  );
}

function row(first, cells) {
  return el("tr", null, el("th", { scope: "row" }, ...first), ...cells.map((text) => el("td", { class: "num" }, text)));
}

function showHistograms() {
  if (!report.histograms.length) return;
  byId("histograms").replaceChildren(
    ...report.histograms.map((each) =>
      el(
        "figure",
        null,
        el("figcaption", null, el("b", null, each.score), el("span", { class: "more" }, `median ${short(each.median)}`)),
        drawn((width) => histogram(each, width)),
      ),
    ),
  );
}

function showStyles() {
  const region = byId("styles");
  if (!report.by_style.length) {
    region.remove();
    return;
  }
  const columns = ["loss", ...SCORES, "seconds"].filter((key) => report.by_style.some((each) => each[key] !== null));
  const rows = report.by_style.map((each) => {
    const show = el("button", { type: "button", class: "link", onclick: () => filterBy("style", each.style) }, styleName(each.style));
    const cells = columns.map((key) => (key === "seconds" ? seconds(each[key]) : short(each[key])));
    const first = [picture(styleThumbnail(each.style), "swatch", "the style"), show];
    return row([el("span", { class: "with-swatch" }, ...first)], [count(each.images), ...cells]);
  });
  const heads = [["style", false], ["images", true], ...columns.map((key) => [key, true])];
  region.append(table("Styles: medians of their images", heads, rows));
}

function filterBy(key, value) {
  chosen = { ...EMPTY, [key]: value };
  showForm();
  showHits();
  writeAddress();
  byId("gallery").scrollIntoView({ block: "start" });
  byId("filters")[key].focus({ preventScroll: true });
}

function deviceKeys(devices) {
  return el(
    "ul",
    { class: "keys" },
    ...devices.map((device, n) => el("li", null, el("span", { class: `key d${n % 6}`, "aria-hidden": "true" }), device)),
  );
}

function showSpeed() {
  const told = report.throughput;
  if (told.sessions.length) {
    const bucket = seconds(told.width_s);
    const left = told.left_out ? ` ${counted(told.left_out, "image")} of earlier stretches not drawn.` : "";
    byId("throughput").replaceChildren(
      el("h3", null, "Images an hour"),
      drawn((width) => timeChart(told, width)),
      deviceKeys(told.devices),
      el("p", { class: "more" }, `By the times of the images’ files, ${bucket} a bar; pauses of more than half an hour are left out.${left}`),
    );
  }
  const region = byId("devices");
  if (!report.by_device.length) {
    region.remove();
    return;
  }
  const rows = report.by_device.map((each) => {
    const workers = report.busy.filter((worker) => worker.device === each.device);
    const there = workers.reduce((sum, worker) => sum + worker.seconds, 0);
    const busy = workers.reduce((sum, worker) => sum + worker.seconds * worker.busy, 0);
    const share = there ? `${Math.round((100 * busy) / there)} %` : "–";
    return row([each.device], [count(each.images), seconds(each.seconds), count(workers.length), share]);
  });
  const heads = [["device", false], ["images", true], ["median time of one", true], ["workers, last run", true], ["busy, last run", true]];
  region.append(table("Devices", heads, rows));
}

const TERMS = [
  ["total", "total"],
  ["content", "content"],
  ["style", "style"],
  ["tv", "smoothness (tv)"],
];

function termLines(values) {
  return TERMS.filter(([key]) => values[key].some((value) => value)).map(([key, name]) => ({
    name,
    kind: key,
    values: values[key],
  }));
}

function showTogether() {
  if (!report.together.length) return;
  const place = el("div");
  const isLog = el("input", { type: "checkbox", checked: true });
  const select = el("select", null, ...report.together.map((each, n) => el("option", { value: n }, `${each.pair} (${count(each.images)})`)));
  const draw = () => {
    const each = report.together[select.value];
    const last = each.total.length - 1;
    const totals = `total from ${short(each.total[0])} to ${short(each.total[last])}`;
    const told = {
      at: each.at,
      lines: termLines(each),
      band: [each.low, each.high],
      isLog: isLog.checked,
      what: "evaluation",
      label: `Median losses of ${counted(each.images, "image")} of ${each.pair}: ${totals}`,
    };
    place.replaceChildren(drawn((width) => lineChart(told, width)));
  };
  select.addEventListener("change", draw);
  isLog.addEventListener("change", draw);
  byId("together").replaceChildren(
    el("div", { class: "row" }, report.together.length > 1 ? el("label", null, "Pair ", select) : null, el("label", { class: "check" }, isLog, " logarithmic")),
    place,
    el("p", { class: "more" }, "Medians of the images of a pair, weights applied; the band holds eight of ten totals. One image’s curve is in its own view."),
  );
  draw();
}
