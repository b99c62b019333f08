// Charts as SVG: lines over evaluations, bars over time, bars of a histogram.

// Round numbers that divide an axis, about so many.
function ticks(low, high, about) {
  if (!(high > low)) return [low];
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) {
    found.push(Number(at.toPrecision(12)));
  }
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const by of high / low < 200 ? [1, 2, 5] : [1]) {
      const at = by * 10 ** power;
      if (at >= low && at <= high) found.push(at);
    }
  }
  return found.length > 1 ? found : [low, high];
}

// A place whose chart is drawn anew for its width: text keeps its size on every screen.
function drawn(draw) {
  const place = el("div", { class: "drawn" });
  let last = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (!width || width === last) return;
    last = width;
    place.replaceChildren(draw(width));
  }).observe(place);
  return place;
}

function canvas(box, label) {
  const { width, height } = box;
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  return svg("svg", { class: "chart", ...size, role: "img", "aria-label": label });
}

// The frame of a chart: where values are, and lines with numbers.
function frame(box, x, y) {
  const { width, height, left, right, top, bottom } = box;
  const across = (value) =>
    left + ((value - x.low) / (x.high - x.low || 1)) * (width - left - right);
  const place = y.log ? Math.log10 : (value) => value;
  const [low, high] = [place(y.low), place(y.high)];
  const up = (value) =>
    height - bottom - ((place(value) - low) / (high - low || 1)) * (height - top - bottom);
  const lines = [];
  for (const at of y.log ? logTicks(y.low, y.high) : ticks(y.low, y.high, 4)) {
    lines.push(
      svg("line", { class: "grid", x1: left, x2: width - right, y1: up(at), y2: up(at) }),
      svg("text", { class: "tick", x: left - 6, y: up(at) + 3.5, "text-anchor": "end" }, short(at)),
    );
  }
  for (const at of x.ticks || ticks(x.low, x.high, 6)) {
    lines.push(
      svg(
        "text",
        { class: "tick", x: across(at), y: height - bottom + 15, "text-anchor": "middle" },
        x.text ? x.text(at) : short(at),
      ),
    );
  }
  return { across, up, lines };
}

function lineChart(told, width) {
  const { at, lines, marks, band, isLog, label, what } = told;
  const box = { width, height: Math.min(300, Math.max(190, width * 0.42)), left: 48, right: 12, top: 10, bottom: 36 };
  const isShown = (value) => value !== null && value !== undefined && (!isLog || value > 0);
  const every = [...lines.flatMap((line) => line.values), ...(band ? band.flat() : [])];
  const shown = every.filter(isShown);
  if (!shown.length) return el("p", { class: "empty" }, "No numbers.");
  let [low, high] = [Math.min(...shown), Math.max(...shown)];
  if (isLog) low = Math.max(low, high * 1e-5);
  else low = Math.min(0, low);
  const y = { low, high: high > low ? high : low + 1, log: isLog };
  const { across, up, lines: grid } = frame(box, { low: at[0], high: at[at.length - 1] }, y);
  const chart = canvas(box, label);
  chart.append(...grid);
  const clamp = (value) => up(isLog ? Math.max(value, low) : value);
  for (const mark of marks || []) {
    const place = across(at[mark]);
    chart.append(svg("line", { class: "mark", x1: place, x2: place, y1: box.top, y2: box.height - box.bottom }));
  }
  if (band) {
    const upper = at.map((each, n) => `${across(each)},${clamp(band[1][n])}`);
    const lower = at.map((each, n) => `${across(each)},${clamp(band[0][n])}`).reverse();
    chart.append(svg("polygon", { class: "band", points: [...upper, ...lower].join(" ") }));
  }
  for (const line of lines) {
    const points = at
      .map((each, n) => (isShown(line.values[n]) ? `${across(each)},${clamp(line.values[n])}` : ""))
      .filter(Boolean);
    chart.append(svg("polyline", { class: `line ${line.kind}`, points: points.join(" ") }));
  }
  chart.append(
    svg(
      "text",
      { class: "tick", x: (box.left + box.width - box.right) / 2, y: box.height - 4, "text-anchor": "middle" },
      what,
    ),
  );
  return withReadout(chart, box, told, across);
}

// A line that follows the pointer, and the numbers there.
function withReadout(chart, box, told, across) {
  const { at, lines, what } = told;
  const keys = lines.map((line) =>
    el("li", null, el("span", { class: `key ${line.kind}`, "aria-hidden": "true" }), line.name, " ", el("b")),
  );
  const where = el("span", { class: "more" });
  const pointer = svg("line", { class: "pointer", x1: 0, x2: 0, y1: box.top, y2: box.height - box.bottom });
  chart.append(pointer);
  const tell = (n) => {
    where.textContent = `${what} ${at[n]}`;
    lines.forEach((line, number) => {
      keys[number].querySelector("b").textContent = short(line.values[n]);
    });
    pointer.setAttribute("x1", across(at[n]));
    pointer.setAttribute("x2", across(at[n]));
  };
  chart.addEventListener("pointermove", (event) => {
    const { left, width } = chart.getBoundingClientRect();
    const place = ((event.clientX - left) / width) * box.width;
    let nearest = 0;
    at.forEach((each, n) => {
      if (Math.abs(across(each) - place) < Math.abs(across(at[nearest]) - place)) nearest = n;
    });
    tell(nearest);
    pointer.classList.add("on");
  });
  chart.addEventListener("pointerleave", () => {
    tell(at.length - 1);
    pointer.classList.remove("on");
  });
  tell(at.length - 1);
  return el("div", { class: "with-keys" }, chart, el("ul", { class: "keys" }, ...keys, el("li", null, where)));
}

// Bars in stretches beside each other, a gap between them; each bar has one part for each device.
function timeChart(told, across_px) {
  const { sessions, devices, width_s: width } = told;
  const box = { width: across_px, height: 220, left: 48, right: 12, top: 10, bottom: 28 };
  const gap = 2.5;
  const lengths = sessions.map((session) => session.counts[0].length);
  const units = lengths.reduce((sum, each) => sum + each, 0) + gap * (sessions.length - 1);
  const perHour = 3600 / width;
  const sum = (session, bucket) => session.counts.reduce((all, each) => all + each[bucket], 0);
  const highest = Math.max(
    ...sessions.flatMap((session, n) => Array.from({ length: lengths[n] }, (_, at) => sum(session, at))),
  );
  const y = { low: 0, high: highest * perHour };
  const { across, up, lines } = frame(box, { low: 0, high: Math.max(units, 1), ticks: [] }, y);
  const all = sessions.flatMap((session) => session.counts.flat()).reduce((a, b) => a + b, 0);
  const chart = canvas(
    box,
    `Images an hour over time: ${counted(all, "image")}, at most ${short(y.high)} an hour`,
  );
  chart.append(...lines);
  let start = 0;
  const labelled = Math.max(1, Math.ceil((sessions.length * 160) / across_px));
  sessions.forEach((session, n) => {
    for (let bucket = 0; bucket < lengths[n]; bucket++) {
      let below = 0;
      session.counts.forEach((counts, device) => {
        if (!counts[bucket]) return;
        const [low, high] = [up(below * perHour), up((below + counts[bucket]) * perHour)];
        const [left, right] = [across(start + bucket), across(start + bucket + 1)];
        const place = { x: left, y: high, width: Math.max(0.5, right - left - 1), height: low - high };
        const when = moment(session.start + bucket * width);
        const tip = `${when}: ${counted(counts[bucket], "image")} on ${devices[device]}`;
        chart.append(
          svg("rect", { class: `bar d${device % 6}`, ...place }, svg("title", null, tip)),
        );
        below += counts[bucket];
      });
    }
    if (n % labelled === 0) {
      const last = across(start + lengths[n]);
      const isNarrow = last - across(start) < 190;
      const place = { class: "tick", y: box.height - box.bottom + 15 };
      chart.append(svg("text", { ...place, x: across(start), "text-anchor": "start" }, moment(session.start)));
      if (!isNarrow) {
        chart.append(svg("text", { ...place, x: last, "text-anchor": "end" }, clock.format(new Date(session.end * 1000))));
      }
    }
    start += lengths[n] + gap;
  });
  return chart;
}

function histogram(told, width) {
  const { score, low, high, counts, median } = told;
  const box = { width, height: 130, left: 8, right: 8, top: 8, bottom: 22 };
  const most = Math.max(...counts);
  const inner = box.width - box.left - box.right;
  const across = (value) => box.left + ((value - low) / (high - low || 1)) * inner;
  const range = `from ${short(low)} to ${short(high)}`;
  const chart = canvas(box, `${score}: ${range}, median ${short(median)}`);
  const floor = box.height - box.bottom;
  counts.forEach((each, bin) => {
    const height = (each / most) * (floor - box.top);
    const from = low + ((high - low) * bin) / counts.length;
    const bar = { class: "bar d0", x: box.left + (inner * bin) / counts.length, y: floor - height, width: inner / counts.length - 1, height };
    chart.append(svg("rect", bar, svg("title", null, `from ${short(from)}: ${counted(each, "image")}`)));
  });
  const middle = across(median);
  chart.append(
    svg("line", { class: "axis", x1: box.left, x2: box.width - box.right, y1: floor, y2: floor }),
    svg("line", { class: "median", x1: middle, x2: middle, y1: box.top, y2: floor }),
    svg("text", { class: "tick", x: box.left, y: box.height - 6 }, short(low)),
    svg("text", { class: "tick", x: box.width - box.right, y: box.height - 6, "text-anchor": "end" }, short(high)),
  );
  return chart;
}
