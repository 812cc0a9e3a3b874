// What was measured of the cell that was chosen.

import { getJson } from "./api.js";
import { announce, at, make } from "./dom.js";

const PREFIX = "HER2: ";

function written(value) {
  return value === 0 || Math.abs(value) >= 0.001 ? String(Number(value.toPrecision(4))) : value.toExponential(1);
}

/** Say that no cell is chosen, and why. */
export function showNoCell(text = "Click a cell to see what was measured.") {
  at("cell-content").replaceChildren(make("p", { class: "quiet" }, text));
}

/** Show class and measurements of a cell. */
export async function showCell(jobId, cellId, result) {
  const cell = await getJson(`/jobs/${jobId}/cells/${cellId}`);
  const known = result.classes.find((one) => one.name === cell.class);
  const chip = make("span", { class: "chip", "aria-hidden": "true" });
  chip.style.borderColor = known?.colour ?? result.not_measured_colour;
  const rows = Object.entries(cell.measurements).map(([name, value]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, name.replace(PREFIX, "").replace("^2", "²")),
      make("td", { class: "n" }, value === null ? "not measured" : written(value)),
    ),
  );
  const place = `${cell.region} · x ${Math.round(cell.x)}, y ${Math.round(cell.y)}`;
  at("cell-content").replaceChildren(
    make("p", {}, chip, make("strong", { id: "cell-class" }, cell.class ?? "not measured")),
    make("p", { class: "quiet" }, place),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Measurements of the cell" }, make("table", {}, make("tbody", {}, ...rows))),
  );
  announce(`Cell: ${cell.class ?? "not measured"}, ${place}`);
}
