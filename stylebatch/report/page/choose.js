// Which images are shown, in which order; kept in the address, so that a reload shows the same.

const SCORES = ["closed", "ssim", "saturation", "speckle"];
const RANGES = [...SCORES, "loss_total", "strength", "seconds"];
const SORTS = {
  name: "name",
  loss_total: "loss",
  loss_content: "content loss",
  loss_style: "style loss",
  seconds: "time taken",
  finished: "time finished",
  evaluations: "evaluations",
  strength: "strength",
  closed: "score: closed",
  ssim: "score: ssim",
  saturation: "score: saturation",
  speckle: "score: speckle",
};
const NAMED_FILTERS = ["style", "label", "split", "status", "pair", "kind", "device"];
const BELOW = "below the thresholds";
const EMPTY = { q: "", score: "", least: "", most: "", sort: "name", order: "up", page: 1 };
for (const key of NAMED_FILTERS) EMPTY[key] = "";

let chosen = { ...EMPTY };
let hits = [];

const none = (key) => ({ label: "no class", split: "no split", style: "no style" })[key] || "none";
const shownName = (key, value) => (key === "style" ? styleName(value) : value.replaceAll("_", " "));

// What an option stands for: a number of the names, -1 for none.
function numbersOf(key) {
  const numbers = new Map(report.names[key].map((value, number) => [value, number]));
  numbers.set("-", -1);
  return numbers;
}

function choose() {
  const tests = [];
  for (const key of NAMED_FILTERS) {
    if (!chosen[key]) continue;
    if (key === "status" && chosen[key] === BELOW) {
      tests.push((at) => images.accepted[at] === 0);
      continue;
    }
    const number = numbersOf(key).get(chosen[key]);
    const column = images[key];
    tests.push((at) => column[at] === number);
  }
  const least = chosen.least === "" ? -Infinity : Number(chosen.least);
  const most = chosen.most === "" ? Infinity : Number(chosen.most);
  if (chosen.score && (least > -Infinity || most < Infinity)) {
    const column = images[chosen.score] || [];
    tests.push((at) => {
      const value = column[at];
      return value !== null && value !== undefined && value >= least && value <= most;
    });
  }
  const words = chosen.q.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) {
    tests.push((at) => {
      const text = haystack(at);
      return words.every((word) => text.includes(word));
    });
  }
  hits = [];
  for (let at = 0; at < images.n; at++) if (tests.every((test) => test(at))) hits.push(at);
  sortHits();
}

const haystacks = [];
function haystack(at) {
  haystacks[at] ||=
    `${images.file[at]}\n${contentOf(at)}\n${nameOf("style", at) || ""}`.toLowerCase();
  return haystacks[at];
}

// Stable, and what has no value comes last either way.
function sortHits() {
  const sign = chosen.order === "down" ? -1 : 1;
  if (chosen.sort === "name") {
    if (sign < 0) hits.reverse();
    return;
  }
  const column = images[chosen.sort] || [];
  const known = hits.filter((at) => column[at] !== null && column[at] !== undefined);
  const unknown = hits.filter((at) => column[at] === null || column[at] === undefined);
  known.sort((one, other) => sign * (column[one] - column[other]) || one - other);
  hits = known.concat(unknown);
}

// The address

function readAddress() {
  const told = location.hash.slice(1);
  chosen = { ...EMPTY };
  if (!told.includes("=")) return {};
  const values = Object.fromEntries(new URLSearchParams(told));
  for (const key of Object.keys(EMPTY)) if (values[key] !== undefined) chosen[key] = values[key];
  if (!SORTS[chosen.sort]) chosen.sort = "name";
  if (chosen.score && !RANGES.includes(chosen.score)) chosen.score = "";
  for (const key of NAMED_FILTERS) {
    const isKnown = numbersOf(key).has(chosen[key]) || chosen[key] === BELOW;
    if (chosen[key] && !isKnown) chosen[key] = "";
  }
  chosen.page = Math.max(1, Math.floor(Number(chosen.page)) || 1);
  return values;
}

function writeAddress(more) {
  const told = new URLSearchParams();
  for (const [key, value] of Object.entries(chosen)) {
    if (value !== EMPTY[key]) told.set(key, value);
  }
  for (const [key, value] of Object.entries(more || {})) if (value) told.set(key, value);
  if (isHeldStill()) told.set("still", "1");
  const text = told.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

// The form

function options(select, rows) {
  select.replaceChildren(...rows.map(([value, text]) => el("option", { value }, text)));
}

function fillForm() {
  const form = byId("filters");
  for (const key of NAMED_FILTERS) {
    const counts = new Map();
    for (const number of images[key]) counts.set(number, (counts.get(number) || 0) + 1);
    const rows = report.names[key]
      .map((value, number) => [value, shownName(key, value), counts.get(number) || 0])
      .filter((row) => row[2])
      .sort((one, other) => one[1].localeCompare(other[1]));
    if (counts.get(-1)) rows.push(["-", none(key), counts.get(-1)]);
    if (key === "status") {
      const below = images.accepted.filter((value) => value === 0).length;
      if (below) rows.push([BELOW, BELOW, below]);
    }
    options(form[key], [
      ["", "all"],
      ...rows.map(([value, text, number]) => [value, `${text} (${count(number)})`]),
    ]);
    form[key].closest("label").hidden = rows.length < 2;
  }
  const isKnown = (key) => key === "name" || (images[key] || []).some((value) => value !== null);
  options(form.sort, Object.entries(SORTS).filter(([key]) => isKnown(key)));
  const ranges = RANGES.filter(isKnown).map((key) => [key, key.replace("loss_total", "loss")]);
  options(form.score, [["", "any"], ...ranges]);
  showForm();
}

function showForm() {
  const form = byId("filters");
  for (const key of Object.keys(EMPTY)) if (form[key]) form[key].value = chosen[key];
  const isMore = ["pair", "kind", "device", "least", "most"].some((key) => chosen[key]);
  if (isMore) byId("more-filters").open = true;
}

function readForm() {
  const form = byId("filters");
  for (const key of Object.keys(EMPTY)) if (form[key]) chosen[key] = form[key].value;
  // Whoever names a bound means some score.
  if (!chosen.score && (chosen.least !== "" || chosen.most !== "")) {
    chosen.score = form.score.value = form.score.options[1]?.value || "";
  }
}
