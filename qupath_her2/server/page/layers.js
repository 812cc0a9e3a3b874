// The layers of a result: what lies over the slide, switched on and off, with the key to its colours.

import { call, getJson } from "./api.js";
import { at, count, make } from "./dom.js";
import { Points, areaPath } from "./drawing.js";

const PICTURE_OPACITY = 0.5;

/** List the layers of the result that is looked at and load those shown at first; `onCells` gets the centres. */
export async function setUpLayers(view, onCells) {
  const { result } = view;
  const controls = result.layers.map((layer) => CONTROLS[layer.kind](view, layer)).filter(Boolean);
  const legend = make("legend", {}, "Layers");
  const none = make("p", { class: "quiet" }, "This result has none.");
  at("layers").replaceChildren(legend, ...(controls.length ? controls.flat() : [none]));
  const kinds = result.layers.map((layer) => layer.kind);
  // Maps are off at first: they hide the tissue that they speak of.
  if (kinds.includes("regions")) showAreas(view, "regions", "regions.geojson");
  if (kinds.includes("cells")) onCells(new Points(await getJson(`/jobs/${view.jobId}/cells/points`)));
}

function box(title, isOn, onchange, children = []) {
  const input = make("input", { type: "checkbox", checked: isOn });
  input.onchange = () => onchange(input.checked);
  return make("label", {}, input, ...children, ` ${title}`);
}

function chip(colour) {
  const square = make("span", { class: "chip", "aria-hidden": "true" });
  square.style.borderColor = colour;
  return square;
}

function colourBy(view, what, isOn) {
  view.drawing.by = isOn ? what : null;
  // Cells have one colour at a time: the other choice goes off.
  for (const other of document.querySelectorAll("input[data-cells]")) {
    if (other.dataset.cells !== what) other.checked = false;
  }
  view.drawing.restyle();
}

function cellBox(view, layer, what, isOn) {
  const label = box(layer.name, isOn, (on) => colourBy(view, what, on));
  label.firstChild.dataset.cells = what;
  return label;
}

function classKey(view) {
  const { classes, not_measured_colour: grey } = view.result;
  const entries = [...classes.map((one) => [one.name, one.name, one.colour]), ["", "not measured", grey]];
  return make(
    "div",
    { class: "inner", role: "group", "aria-label": "Classes shown" },
    ...entries.map(([name, title, colour]) =>
      box(
        title,
        true,
        (on) => {
          if (on) view.drawing.hidden.delete(name);
          else view.drawing.hidden.add(name);
          view.drawing.restyle();
        },
        [chip(colour)],
      ),
    ),
  );
}

function ramp(kind, low, high) {
  const ends = make("div", { class: "ramp-ends" }, make("span", {}, low), make("span", {}, high));
  return make("div", { class: "inner" }, make("div", { class: `ramp ${kind}`, "aria-hidden": "true" }), ends);
}

async function showAreas(view, id, file, colour) {
  const found = await getJson(`/jobs/${view.jobId}/${file}`);
  const areas = found.features.map(({ geometry, properties }) => ({
    path: areaPath(geometry),
    colour: colour ?? (properties.classification ? `rgb(${properties.classification.color.join(" ")})` : "#6e6e6e"),
  }));
  view.drawing.areas.set(id, areas);
  view.drawing.draw();
}

function areaBox(view, layer, isOn, file, colour) {
  return box(layer.name, isOn, (on) => {
    if (on) showAreas(view, layer.id, file, colour);
    else {
      view.drawing.areas.delete(layer.id);
      view.drawing.draw();
    }
  });
}

function pictureBox(view, layer) {
  const strength = make("input", { type: "range", min: "0.1", max: "1", step: "0.05", value: String(PICTURE_OPACITY), "aria-label": `Opacity of ${layer.name}` });
  strength.oninput = () => {
    const shown = view.drawing.pictures.get(layer.id);
    if (shown) shown.opacity = Number(strength.value);
    view.drawing.draw();
  };
  const label = box(layer.name, false, async (on) => {
    if (on) {
      const picture = await call(`/jobs/${view.jobId}/layers/${encodeURIComponent(layer.id)}`);
      const image = await createImageBitmap(await picture.blob());
      const { x, y, width, height } = layer;
      view.drawing.pictures.set(layer.id, { image, x, y, width, height, opacity: Number(strength.value) });
    } else {
      view.drawing.pictures.delete(layer.id);
    }
    view.drawing.draw();
  });
  return [label, make("div", { class: "inner" }, "Opacity ", strength), ramp("heat", "low", "high")];
}

const CONTROLS = {
  cells: (view, layer) => {
    const title = `${layer.name} (${count(layer.n_cells)})`;
    return [cellBox(view, { ...layer, name: title }, "class", true), classKey(view)];
  },
  tumour: (view, layer) => [cellBox(view, layer, "tumour", false), ramp("probability", "0 %", "100 %")],
  regions: (view, layer) => areaBox(view, layer, true, "regions.geojson"),
  cut: (view, layer) => areaBox(view, layer, false, "layers/cut", layer.colour),
  picture: pictureBox,
};
