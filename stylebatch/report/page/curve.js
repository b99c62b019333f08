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
    chart.replaceChildren(
      lineChart({
        at: curve.at,
        lines: termLines(curve),
        marks: curve.levels,
        isLog: box.checked,
        what: "evaluation",
        label: `Losses: total from ${short(curve.total[0])} to ${short(curve.total[last])} in ${counted(curve.at[last], "evaluation")}`,
      }),
    );
  };
  box.addEventListener("change", draw);
  place.append(el("div", { class: "row between" }, el("h3", null, "Losses"), el("label", { class: "check" }, box, " logarithmic")), chart);
  draw();
}
