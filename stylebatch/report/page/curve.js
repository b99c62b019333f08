// The losses of one image, by term.

let isLogarithmic = true;

async function showCurve(at) {
  const place = byId("detail-losses");
  place.replaceChildren();
  const curve = await curveOf(at);
  if (!curve || opened !== at) return;
  const box = el("input", { type: "checkbox", checked: isLogarithmic });
  const chart = el("div");
  const draw = () => {
    isLogarithmic = box.checked;
    const last = curve.total.length - 1;
    const totals = `total from ${short(curve.total[0])} to ${short(curve.total[last])}`;
    const told = {
      at: curve.at,
      lines: termLines(curve),
      marks: curve.levels,
      isLog: box.checked,
      what: "evaluation",
      label: `Losses: ${totals} in ${counted(curve.at[last], "evaluation")}`,
    };
    chart.replaceChildren(drawn((width) => lineChart(told, width)));
  };
  box.addEventListener("change", draw);
  place.append(el("div", { class: "row between" }, el("h3", null, "Losses"), el("label", { class: "check" }, box, " logarithmic")), chart);
  draw();
}
