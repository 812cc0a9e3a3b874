// The drawing over the slide: one canvas, in level-0 pixels, drawn anew at each move.

const NUMBER_OF_STEPS = 64;
// Longest side of the picture of all cells as points, and the side of a point, level-0 pixels: half a cell's at 40x.
const POINTS_PX = 2048;
const POINT_SIDE = 20;
const POINT_ALPHA = 205;
// Longest side of the picture of the outlines in view.
const OUTLINES_PX = 4096;

function rgbOf(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function hex(rgb) {
  return `#${rgb.map((one) => Math.round(one).toString(16).padStart(2, "0")).join("")}`;
}

/** Colour of a tumour probability, 0 to 1: blue, yellow, red, as in the key. */
function probabilityColour(value) {
  const stops = ["#2166ac", "#f0c808", "#b2182b"].map(rgbOf);
  const place = Math.min(0.9999, Math.max(0, value)) * 2;
  const [from, to] = [stops[Math.floor(place)], stops[Math.floor(place) + 1]];
  return hex(from.map((one, i) => one + (to[i] - one) * (place % 1)));
}

/** Centres of all cells, or of a sample of very many. */
export class Points {
  constructor(columns) {
    this.columns = columns;
  }

  countIn({ x, y, width, height }) {
    const { x: xs, y: ys, n_cells: all } = this.columns;
    let n = 0;
    for (let i = 0; i < xs.length; i++) {
      if (xs[i] >= x && xs[i] < x + width && ys[i] >= y && ys[i] < y + height) n++;
    }
    return xs.length ? (n * all) / xs.length : 0;
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
    this.size = [result.width_px, result.height_px];
    this.points = null;
    this.pointsPicture = null;
    this.features = null;
    this.box = null; // the part of the slide whose outlines are known
    this.outlines = null; // {picture, factor}: picture pixels per level-0 pixel
    this.chosen = null;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "drawing";
    this.canvas.setAttribute("aria-hidden", "true");
    viewer.canvas.append(this.canvas);
  }

  setPoints(points) {
    this.points = points.columns;
    this.restyle();
  }

  /** Outlines of the cells in a part of the slide; null where there are too many. */
  setOutlines(features, box) {
    this.features = features;
    this.box = box;
    this.outlines = this.paintOutlines();
    this.draw();
  }

  /** The view has come to rest: lines are painted anew where it was zoomed. */
  rest() {
    const factor = this.features && this.outlineFactor();
    if (factor && Math.abs(factor / this.outlines.factor - 1) > 0.01) {
      this.outlines = this.paintOutlines();
      this.draw();
    }
  }

  setChosen(feature) {
    this.chosen = feature && ringPath(feature.geometry.coordinates[0]);
    this.draw();
  }

  /** Colours or shown classes have changed. */
  restyle() {
    this.outlines = this.paintOutlines();
    this.pointsPicture = this.points && this.by ? this.paintPoints() : null;
    this.draw();
  }

  outlineFactor() {
    return Math.min(this.place().factor, OUTLINES_PX / Math.max(this.box.width, this.box.height));
  }

  /** The outlines as a picture, which moves with the slide: to draw thousands of them at each move is too slow. */
  paintOutlines() {
    if (!this.features) return null;
    const factor = this.outlineFactor();
    const { x, y, width, height } = this.box;
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [Math.ceil(width * factor), Math.ceil(height * factor)];
    const context = picture.getContext("2d");
    context.setTransform(factor, 0, 0, factor, -x * factor, -y * factor);
    const { density, scale } = this.place();
    context.lineWidth = ((scale > 0.3 ? 2 : 1.25) * density) / factor;
    for (const [colour, path] of this.pathsByColour()) {
      context.strokeStyle = colour;
      context.stroke(path);
    }
    return { picture, factor };
  }

  pathsByColour() {
    const paths = new Map();
    for (const { geometry, properties } of this.features) {
      if (this.hidden.has(properties.class ?? "")) continue;
      const colour = this.colourOf(properties.class, properties.tumour_probability);
      if (!paths.has(colour)) paths.set(colour, new Path2D());
      paths.get(colour).addPath(ringPath(geometry.coordinates[0]));
    }
    return paths;
  }

  colourOf(name, probability) {
    if (this.by === "tumour") {
      if (probability === null) return this.noColour;
      return probabilityColour(Math.round(probability * NUMBER_OF_STEPS) / NUMBER_OF_STEPS);
    }
    return this.colours[this.names.indexOf(name)] ?? this.noColour;
  }

  /** Where the slide is on the screen: its corner and scale in CSS pixels, and device pixels per level-0 pixel. */
  place() {
    const item = this.viewer.world.getItemAt(0);
    const density = window.devicePixelRatio || 1;
    const corner = this.toScreen(item, 0, 0);
    const scale = (this.toScreen(item, this.size[0], 0).x - corner.x) / this.size[0];
    return { corner, scale, density, factor: scale * density };
  }

  draw() {
    const { viewer, canvas } = this;
    if (!viewer.world?.getItemAt(0)) return;
    const { corner, scale, density, factor } = this.place();
    const [width, height] = [viewer.canvas.clientWidth, viewer.canvas.clientHeight];
    if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
      [canvas.width, canvas.height] = [Math.round(width * density), Math.round(height * density)];
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const onSlide = () => context.setTransform(factor, 0, 0, factor, corner.x * density, corner.y * density);
    onSlide();
    this.drawPictures(context);
    this.drawAreas(context, scale);
    if (this.by && this.outlines) this.drawOutlines(context, corner, density, factor);
    else if (this.pointsPicture) this.drawPoints(context);
    onSlide();
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

  drawOutlines(context, corner, density, factor) {
    const { picture, factor: painted } = this.outlines;
    const stretch = factor / painted;
    const [left, top] = [corner.x * density + this.box.x * factor, corner.y * density + this.box.y * factor];
    const isAtRest = Math.abs(stretch - 1) < 0.001;
    // Pixel on pixel where the scale is that of the painting: lines stay as sharp as they were painted.
    if (isAtRest) context.setTransform(1, 0, 0, 1, Math.round(left), Math.round(top));
    else context.setTransform(stretch, 0, 0, stretch, left, top);
    context.imageSmoothingEnabled = !isAtRest;
    context.drawImage(picture, 0, 0);
  }

  /** All cells as points in one small picture: drawing a million of them at each move would take seconds. */
  paintPoints() {
    const [width, height] = this.size;
    const step = Math.max(1, Math.max(width, height) / POINTS_PX);
    const side = Math.max(2, Math.round(POINT_SIDE / step));
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [Math.ceil(width / step), Math.ceil(height / step)];
    const context = picture.getContext("2d");
    const image = context.createImageData(picture.width, picture.height);
    const { x, y, class: codes, tumour_probability: chances, classes } = this.points;
    const { by } = this;
    const colours = (by === "tumour" ? [...Array(101).keys()].map((one) => this.colourOf(null, one / 100)) : this.colours).map(rgbOf);
    const none = rgbOf(this.noColour);
    for (let i = 0; i < x.length; i++) {
      if (this.hidden.has(classes[codes[i]] ?? "")) continue;
      const colour = colours[by === "tumour" ? chances[i] : codes[i]] ?? none;
      const [left, top] = [Math.round(x[i] / step - side / 2), Math.round(y[i] / step - side / 2)];
      for (let row = Math.max(0, top); row < Math.min(picture.height, top + side); row++) {
        for (let column = Math.max(0, left); column < Math.min(picture.width, left + side); column++) {
          image.data.set([...colour, POINT_ALPHA], 4 * (row * picture.width + column));
        }
      }
    }
    context.putImageData(image, 0, 0);
    return picture;
  }

  drawPoints(context) {
    context.imageSmoothingEnabled = false;
    context.drawImage(this.pointsPicture, 0, 0, ...this.size);
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
