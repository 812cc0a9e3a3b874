// A result in words and numbers: score, reason, shares of the classes with their intervals, regions, downloads.

import { save } from "./api.js";
import { at, complain, count, make, percent, show, taskTitle } from "./dom.js";

// Limit of every row of the guidelines, per cent of the tumour cells.
const LIMIT = 10;

/** Show the answer of a result in the heading. */
export function showBadge(result) {
  const badge = at("badge");
  badge.textContent = result.answer;
  badge.className = result.score || result.prediction ? "badge" : "badge plain";
  const shown = result.classes.find((one) => result.score && one.name.endsWith(result.score.replace(/^0$/, "Negative")));
  badge.style.borderColor = shown ? shown.colour : "";
}

/** Show everything that is known of a result but its pictures. */
export function showResult(jobId, result) {
  complain(at("note"), result.note);
  at("reason").textContent = result.reason;
  at("facts").textContent = facts(result).join(" · ");
  at("tags").replaceChildren(...result.tags.map((tag) => make("span", { class: "tag" }, tag)));
  at("warnings").replaceChildren(...result.warnings.map((text) => make("li", {}, text)));
  at("shares").replaceChildren(...(result.prediction ? [probabilities(result)] : shares(result)));
  at("region-scores").replaceChildren(...regions(result));
  showDownloads(jobId, result);
}

function facts(result) {
  const known = [];
  if (result.prediction) known.push(`${count(result.prediction.n_patches)} patches predicted`);
  else if (result.n_cells) known.push(`${count(result.n_cells)} tumour cells`);
  if (result.complete_percent !== null) known.push(`complete membrane in ${percent(result.complete_percent)} of cells`);
  if (result.h_score !== null) known.push(`H-score ${result.h_score.toFixed(0)}`);
  const next = result.cells_to_next_score;
  if (next !== null) {
    known.push(`the score would change if ${next === 1 ? "1 cell was" : `${count(next)} cells were`} in another class`);
  }
  if (result.pixel_size_um !== null) known.push(`${result.pixel_size_um.toPrecision(3)} µm per pixel`);
  return known;
}

function track(share, colour, interval) {
  const bar = make("i");
  Object.assign(bar.style, { width: `${share}%`, background: colour });
  const parts = [bar];
  if (interval) {
    const line = make("b");
    Object.assign(line.style, { left: `${interval[0]}%`, width: `${interval[1] - interval[0]}%` });
    parts.push(line);
  }
  return make("div", { class: "track", "aria-hidden": "true" }, ...parts);
}

function barTable(title, columns, rows, mark) {
  const head = columns.map((name, at) => make("th", { scope: "col", class: at > 1 ? "n" : null }, name));
  const lines = rows.map(({ name, share, colour, interval }) => {
    const bar = track(share, colour, interval);
    if (mark !== undefined) {
      const limit = make("u");
      limit.style.left = `${mark}%`;
      bar.append(limit);
    }
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", {}, bar),
      make("td", { class: "n" }, percent(share)),
      ...(columns.length > 3 ? [make("td", { class: "n" }, interval ? `${interval[0].toFixed(1)} to ${interval[1].toFixed(1)}` : "")] : []),
    );
  });
  return make(
    "table",
    { class: "shares" },
    make("caption", {}, title),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...lines),
  );
}

function shares(result) {
  if (!Object.keys(result.shares).length) return [];
  const rows = result.classes.map(({ name, colour }) => ({
    name,
    colour,
    share: result.shares[name] ?? 0,
    interval: result.intervals[name],
  }));
  const title = "Share of tumour cells in each class; the dashed line is the guidelines' limit of 10 %";
  return [barTable(title, ["Class", "Share", "%", "95 % interval"], rows, LIMIT)];
}

function probabilities(result) {
  const rows = Object.entries(result.prediction.probabilities).map(([name, value]) => ({
    name,
    colour: "#14539a",
    share: 100 * value,
  }));
  return barTable(`${taskTitle(result.prediction.task)}: probability of each class by ${result.prediction.model}`, ["Class", "Probability", "%"], rows);
}

function regions(result) {
  if (result.regions.length < 2) return [];
  const head = ["Region", "Score", "Cells", "Reason"].map((name) => make("th", { scope: "col" }, name));
  const rows = result.regions.map((one) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, one.name),
      make("td", {}, one.answer),
      make("td", { class: "n" }, one.n_cells === null ? "" : count(one.n_cells)),
      make("td", {}, one.reason),
    ),
  );
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  return [make("details", {}, make("summary", {}, `${result.regions.length} regions`), table)];
}

function showDownloads(jobId, result) {
  const hasCells = result.layers.some((layer) => layer.kind === "cells");
  const files = [
    ["Report", "report.html", true],
    ["Cells (GeoJSON for QuPath)", "cells.geojson", hasCells],
    ["Cells (CSV)", "cells.csv", hasCells],
    ["Regions (GeoJSON)", "regions.geojson", result.regions.length > 0],
  ];
  const buttons = files
    .filter(([, , isThere]) => isThere)
    .map(([title, file]) => make("button", { type: "button", onclick: (event) => download(event, jobId, file) }, title));
  at("download-list").replaceChildren(...buttons);
  show(at("downloads"), buttons.length > 0);
}

async function download(event, jobId, file) {
  const button = event.target;
  button.disabled = true;
  try {
    await save(`/jobs/${jobId}/${file}`);
  } finally {
    button.disabled = false;
  }
}
