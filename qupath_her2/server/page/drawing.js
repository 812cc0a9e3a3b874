// The drawing over the slide: one canvas, in level-0 pixels, drawn anew at each move.

const NUMBER_OF_STEPS = 64;

/** Colour of a tumour probability, 0 to 1: blue, yellow, red, as in the key. */
export function probabilityColour(value) {
  const stops = [[33, 102, 172], [240, 200, 8], [178, 24, 43]];
  const place = Math.min(0.9999, Math.max(0, value)) * 2;
  const [from, to] = [stops[Math.floor(place)], stops[Math.floor(place) + 1]];
  const mixed = from.map((one, i) => Math.round(one + (to[i] - one) * (place % 1)));
  return `rgb(${mixed.join(" ")})`;
}

/** Centres of all cells, or of every so many-th of very many. */
export class Points {
  constructor(columns) {
    this.columns = columns;
  }

  countIn({ x, y, width, height }) {
    const { x: xs, y: ys, step } = this.columns;
    let n = 0;
    for (let i = 0; i < xs.length; i++) {
      if (xs[i] >= x && xs[i] < x + width && ys[i] >= y && ys[i] < y + height) n++;
    }
    return n * step;
  }

  /** Distance of the nearest cell, level-0 pixels. */
  nearest(point) {
    const { x, y } = this.columns;
    let best = Infinity;
    for (let i = 0; i < x.length; i++) best = Math.min(best, Math.hypot(x[i] - point.x, y[i] - point.y));
    return Number.isFinite(best) ? best : 0;
  }
}

export class Drawing {
  /** `result` names the classes with their colours. */
  constructor(viewer, result) {
    this.viewer = viewer;
    this.colours = result.classes.map((one) => one.colour);
    this.names = result.classes.map((one) => one.name);
    this.noColour = result.not_measured_colour;
    this.by = "class"; // or "tumour", or null for no cells
    this.hidden = new Set(); // classes that are not shown
    this.pictures = new Map(); // id -> {image, x, y, width, height, opacity}
    this.areas = new Map(); // id -> [{path, colour}]
    this.points = null;
    this.features = null;
    this.outlines = [];
    this.chosen = null;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "drawing";
    this.canvas.setAttribute("aria-hidden", "true");
    viewer.canvas.append(this.canvas);
  }

  setPoints(points) {
    this.points = points.columns;
    this.draw();
  }

  /** Outlines of the cells in view; null where there are too many. */
  setOutlines(features) {
    this.features = features;
    this.restyle();
  }

  setChosen(feature) {
    this.chosen = feature && ringPath(feature.geometry.coordinates[0]);
    this.draw();
  }

  /** Group the outlines by colour, so that each colour is drawn at once. */
  restyle() {
    const paths = new Map();
    for (const { geometry, properties } of this.features ?? []) {
      if (this.hidden.has(properties.class ?? "")) continue;
      const colour = this.colourOf(properties.class, properties.tumour_probability);
      if (!paths.has(colour)) paths.set(colour, new Path2D());
      paths.get(colour).addPath(ringPath(geometry.coordinates[0]));
    }
    this.outlines = [...paths];
    this.draw();
  }

  colourOf(name, probability) {
    if (this.by === "tumour") {
      if (probability === null) return this.noColour;
      return probabilityColour(Math.round(probability * NUMBER_OF_STEPS) / NUMBER_OF_STEPS);
    }
    return this.colours[this.names.indexOf(name)] ?? this.noColour;
  }

  draw() {
    const { viewer, canvas } = this;
    const item = viewer.world?.getItemAt(0);
    if (!item) return;
    const density = window.devicePixelRatio || 1;
    const [width, height] = [viewer.canvas.clientWidth, viewer.canvas.clientHeight];
    if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
      [canvas.width, canvas.height] = [Math.round(width * density), Math.round(height * density)];
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const corner = this.toScreen(item, 0, 0);
    const size = item.getContentSize();
    const scale = (this.toScreen(item, size.x, 0).x - corner.x) / size.x;
    context.setTransform(scale * density, 0, 0, scale * density, corner.x * density, corner.y * density);
    this.drawPictures(context);
    this.drawAreas(context, scale);
    if (this.by && this.features) this.drawOutlines(context, scale);
    else if (this.by && this.points) this.drawPoints(context, scale, width, height, corner);
    this.drawChosen(context, scale);
  }

  toScreen(item, x, y) {
    return this.viewer.viewport.pixelFromPoint(item.imageToViewportCoordinates(x, y, true), true);
  }

  drawPictures(context) {
    // The squares of a map are patches; smoothing would show values between them that nobody predicted.
    context.imageSmoothingEnabled = false;
    for (const { image, x, y, width, height, opacity } of this.pictures.values()) {
      context.globalAlpha = opacity;
      context.drawImage(image, x, y, width, height);
    }
    context.globalAlpha = 1;
  }

  drawAreas(context, scale) {
    context.lineJoin = "round";
    // Thinner where the slide is small, or the outlines would be all there is to see.
    const [outer, inner] = scale > 0.3 ? [5, 2.5] : [3, 1.5];
    for (const { path, colour } of [...this.areas.values()].flat()) {
      // A white line beneath sets the outline off from cells of its colour.
      for (const [style, width] of [["#ffffff", outer], [colour, inner]]) {
        context.strokeStyle = style;
        context.lineWidth = width / scale;
        context.stroke(path);
      }
    }
  }

  drawOutlines(context, scale) {
    context.lineWidth = (scale > 0.3 ? 2 : 1.25) / scale;
    for (const [colour, path] of this.outlines) {
      context.strokeStyle = colour;
      context.stroke(path);
    }
  }

  drawPoints(context, scale, width, height, corner) {
    const { x, y, class: codes, tumour_probability: chances, classes } = this.points;
    // A point is about as large as a cell, but never too small to be seen.
    const side = Math.max(3 / scale, 16);
    const [left, top] = [-corner.x / scale - side, -corner.y / scale - side];
    const [right, bottom] = [left + width / scale + 2 * side, top + height / scale + 2 * side];
    context.globalAlpha = 0.75;
    for (let code = -1; code < classes.length; code++) {
      if (this.hidden.has(classes[code] ?? "")) continue;
      context.fillStyle = this.colourOf(classes[code] ?? null, null);
      for (let i = 0; i < x.length; i++) {
        if (codes[i] !== code || x[i] < left || x[i] > right || y[i] < top || y[i] > bottom) continue;
        if (this.by === "tumour") {
          context.fillStyle = this.colourOf(null, chances[i] < 0 ? null : chances[i] / 100);
        }
        context.fillRect(x[i] - side / 2, y[i] - side / 2, side, side);
      }
    }
    context.globalAlpha = 1;
  }

  drawChosen(context, scale) {
    if (!this.chosen) return;
    for (const [style, width] of [["#ffffff", 7], ["#000000", 3.5]]) {
      context.strokeStyle = style;
      context.lineWidth = width / scale;
      context.stroke(this.chosen);
    }
  }
}

function ringPath(ring) {
  const path = new Path2D();
  ring.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
  return path;
}

/** The outlines of a GeoJSON polygon or multi-polygon as one path. */
export function areaPath(geometry) {
  const polygons = geometry.type === "MultiPolygon" ? geometry.coordinates : [geometry.coordinates];
  const path = new Path2D();
  for (const ring of polygons.flat()) path.addPath(ringPath(ring));
  return path;
}
