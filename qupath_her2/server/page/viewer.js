// The slide in OpenSeadragon with a drawing over it: cells in view, regions, heat maps, and the cell that was chosen.

import { API, authorization, getJson } from "./api.js";
import { showCell, showNoCell } from "./cell.js";
import { at, complain, percent, show } from "./dom.js";
import { setUpLayers } from "./layers.js";
import { Drawing } from "./drawing.js";

// Cells whose outlines are fetched and drawn at once; with more in view, points are drawn.
const MOST_OUTLINES = 5000;
// Around a click, level-0 pixels: more than the radius of any cell at 40x.
const REACH_PX = 80;
// A move has ended after so many milliseconds without another.
const REST_MS = 120;

let shown = null; // the view that `showSlide` made

// OpenSeadragon would insert a style into the head, which the content security policy forbids. It looks for its mark
// first; an element of no namespace bears it without being a style.
const mark = document.createElementNS(null, "style");
mark.setAttribute("data-openseadragon-mobile-css", "true");
document.head.append(mark);

/** Close the slide, if one is shown. */
export function closeViewer() {
  if (!shown) return;
  shown.isClosed = true;
  shown.viewer.destroy();
  shown = null;
  show(at("viewer-panel"), false);
}

/** Show the slide of a job with the layers of its result. */
export async function showSlide(jobId, result) {
  closeViewer();
  show(at("viewer-panel"));
  const viewer = OpenSeadragon({
    element: at("viewer"),
    tileSources: `${API}/jobs/${jobId}/slide.dzi`,
    loadTilesWithAjax: true,
    ajaxHeaders: authorization(),
    drawer: "canvas",
    showNavigationControl: false,
    showNavigator: true,
    navigatorPosition: "BOTTOM_RIGHT",
    navigatorSizeRatio: 0.16,
    gestureSettingsMouse: { clickToZoom: false },
    gestureSettingsTouch: { clickToZoom: false },
    maxZoomPixelRatio: 8,
    visibilityRatio: 0.4,
    animationTime: window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.5,
  });
  const view = { viewer, jobId, result, drawing: null, points: null, fetched: null, asked: 0, waiting: 0, isClosed: false, chosen: null };
  shown = view;
  view.drawing = new Drawing(viewer, result);
  nameCanvas(viewer);
  showParts(result.layers);
  showNoCell();
  listen(view);
  await setUpLayers(view, (points) => {
    view.points = points;
    view.drawing.setPoints(points);
    refresh(view);
  });
}

/** Show what the result can answer: a slide without cells has none to choose, one without layers has no list of them. */
function showParts(layers) {
  const hasCells = layers.some((layer) => layer.kind === "cells");
  for (const id of ["cell-tools", "cell-help", "cell"]) show(at(id), hasCells);
  show(at("viewer-side"), layers.length > 0);
  at("viewer-side").parentElement.classList.toggle("alone", layers.length === 0);
  at("viewer-title").textContent = hasCells ? "Slide and cells" : "Slide";
}

function nameCanvas(viewer) {
  // The part that takes the keys; without a name a screen reader would only say "blank".
  viewer.canvas.setAttribute("role", "application");
  viewer.canvas.setAttribute("aria-label", "Slide with its cells");
  viewer.canvas.setAttribute("aria-describedby", "viewer-help");
  // The small overview repeats the slide and takes no keys of its own.
  viewer.navigator?.element.setAttribute("aria-hidden", "true");
  viewer.navigator?.canvas?.setAttribute("tabindex", "-1");
}

function listen(view) {
  const { viewer, drawing } = view;
  viewer.addHandler("open", () => {
    showScale(view);
    refresh(view);
  });
  viewer.addHandler("open-failed", () => {
    complain(at("banner"), "The slide cannot be shown: its picture could not be read.");
  });
  viewer.addHandler("update-viewport", () => drawing.draw());
  // A move is over only now: before, the view says where it began.
  viewer.addHandler("animation-finish", () => {
    showScale(view);
    refresh(view);
  });
  viewer.addHandler("resize", () => refresh(view));
  viewer.addHandler("canvas-click", (event) => {
    if (event.quick) chooseAt(view, toImage(viewer, viewer.viewport.pointFromPixel(event.position)));
  });
  viewer.addHandler("canvas-key", (event) => {
    if (event.originalEvent.key === "Enter") chooseMiddle(view);
  });
  at("zoom-in").onclick = () => zoom(viewer, 2);
  at("zoom-out").onclick = () => zoom(viewer, 0.5);
  at("zoom-home").onclick = () => viewer.viewport.goHome();
  at("cell-centre").onclick = () => chooseMiddle(view);
  at("cell-next").onclick = () => step(view, 1);
  at("cell-previous").onclick = () => step(view, -1);
}

function zoom(viewer, factor) {
  viewer.viewport.zoomBy(factor);
  viewer.viewport.applyConstraints();
}

function toImage(viewer, point) {
  return viewer.world.getItemAt(0).viewportToImageCoordinates(point);
}

/** The visible part of the slide, level-0 pixels. */
function viewBox({ viewer, result }) {
  const bounds = viewer.viewport.getBounds(true);
  const first = toImage(viewer, bounds.getTopLeft());
  const last = toImage(viewer, bounds.getBottomRight());
  const [x, y] = [Math.max(0, Math.floor(first.x)), Math.max(0, Math.floor(first.y))];
  const width = Math.max(1, Math.min(result.width_px, Math.ceil(last.x)) - x);
  return { x, y, width, height: Math.max(1, Math.min(result.height_px, Math.ceil(last.y)) - y) };
}

function showScale({ viewer, result }) {
  if (!viewer.world.getItemCount()) return;
  const level0PerPixel = viewer.world.getItemAt(0).viewportToImageZoom(viewer.viewport.getZoom(true));
  const width_um = viewBox({ viewer, result }).width * (result.pixel_size_um ?? NaN);
  const width = width_um < 1000 ? `${Math.round(width_um)} µm` : `${(width_um / 1000).toFixed(1)} mm`;
  const zoom = `${percent(100 * level0PerPixel, 0)} of full size`;
  at("scale").textContent = result.pixel_size_um ? `The view is ${width} wide, ${zoom}.` : `Shown at ${zoom}.`;
}

async function fetchCells(view, box, limit = MOST_OUTLINES) {
  const { x, y, width, height } = box;
  return getJson(`/jobs/${view.jobId}/cells?${new URLSearchParams({ x, y, width, height, limit })}`);
}

/** Fetch the outlines of the cells in view once a move is over, unless they are there already. */
function refresh(view) {
  clearTimeout(view.waiting);
  view.waiting = setTimeout(() => fetchOutlines(view), REST_MS);
}

async function fetchOutlines(view) {
  if (view.isClosed || !view.points || !view.viewer.world.getItemCount()) return;
  const box = viewBox(view);
  if (view.points.countIn(box) > MOST_OUTLINES) {
    view.fetched = null;
    view.drawing.setOutlines(null, null);
    return;
  }
  if (view.fetched && contains(view.fetched, box)) {
    view.drawing.rest();
    return;
  }
  // A margin, so that a small move shows no bare edge; a cell reaches further than its centre.
  const margin = Math.max(REACH_PX, Math.round(0.3 * box.width));
  const wide = { x: box.x - margin, y: box.y - margin, width: box.width + 2 * margin, height: box.height + 2 * margin };
  const asked = view.points.countIn(wide) > MOST_OUTLINES ? box : wide;
  const mine = ++view.asked;
  const found = await fetchCells(view, asked);
  // A later move has its own request.
  if (mine !== view.asked || view.isClosed) return;
  view.fetched = asked;
  view.drawing.setOutlines(found.features, asked);
}

function contains(outer, inner) {
  return (
    outer.x <= inner.x &&
    outer.y <= inner.y &&
    outer.x + outer.width >= inner.x + inner.width &&
    outer.y + outer.height >= inner.y + inner.height
  );
}

async function chooseMiddle(view) {
  const box = viewBox(view);
  await chooseAt(view, new OpenSeadragon.Point(box.x + box.width / 2, box.y + box.height / 2), true);
}

/** Choose the cell at a place of the slide; `isNearest` takes the nearest one where none is there. */
async function chooseAt(view, point, isNearest = false) {
  if (!view.points) return;
  const reach = isNearest ? Math.max(REACH_PX, view.points.nearest(point) + REACH_PX) : REACH_PX;
  const [x, y] = [Math.round(point.x - reach), Math.round(point.y - reach)];
  const found = await fetchCells(view, { x, y, width: Math.ceil(2 * reach), height: Math.ceil(2 * reach) }, 500);
  const features = found.features.map((feature) => ({ feature, distance: distanceTo(feature, point) }));
  features.sort((a, b) => a.distance - b.distance);
  const best = features.find(({ feature }) => holds(feature, point)) ?? (isNearest ? features[0] : null);
  if (best) await choose(view, best.feature);
  else showNoCell("There is no cell where you clicked.");
}

function middle(feature) {
  const ring = feature.geometry.coordinates[0];
  const [x, y] = ring.slice(1).reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
  return { x: x / (ring.length - 1), y: y / (ring.length - 1) };
}

function distanceTo(feature, point) {
  const { x, y } = middle(feature);
  return Math.hypot(x - point.x, y - point.y);
}

/** Whether a point lies in the outline of a cell: a line from it crosses the outline an odd number of times. */
function holds(feature, { x, y }) {
  const ring = feature.geometry.coordinates[0];
  let isInside = false;
  for (let i = 1; i < ring.length; i++) {
    const [[ax, ay], [bx, by]] = [ring[i - 1], ring[i]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) isInside = !isInside;
  }
  return isInside;
}

async function choose(view, feature) {
  view.chosen = feature;
  view.drawing.setChosen(feature);
  await showCell(view.jobId, feature.id, view.result);
}

/** Choose the next or the previous cell in view, in reading order: the way through the cells without a mouse. */
async function step(view, by) {
  const box = viewBox(view);
  const features = (await fetchCells(view, box)).features;
  if (!features.length) {
    showNoCell("There is no cell in view.");
    return;
  }
  // Rows of a cell's height, so that neighbours follow each other.
  const row = (feature) => Math.floor(middle(feature).y / 50);
  features.sort((a, b) => row(a) - row(b) || middle(a).x - middle(b).x);
  const now = features.findIndex((feature) => feature.id === view.chosen?.id);
  const next = now < 0 ? (by > 0 ? 0 : features.length - 1) : (now + by + features.length) % features.length;
  await choose(view, features[next]);
}
