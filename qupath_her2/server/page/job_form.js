// The form of a new job: slide, regions, and the few choices that nobody else can make.

import { Refused, getJson, sendJob } from "./api.js";
import { announce, at, complain, make, percent, show, taskTitle } from "./dom.js";

const SLIDE_TO_REGIONS = /\.(geojson|json)(\.gz)?$/i;

/** Fill the choices and hand each accepted job to `onJob`. */
export async function setUpForm(onJob) {
  const form = at("form");
  receiveDrops();
  at("regions").addEventListener("change", showChoices);
  at("method").addEventListener("change", showChoices);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, onJob);
  });
  at("method").append(make("option", { value: "" }, "HER2 score, cell by cell"));
  const [choices, networks] = await Promise.all([getJson("/choices"), getJson("/networks")]);
  at("guideline").append(...choices.guidelines.map((one) => make("option", { value: one.key }, one.name)));
  at("finder").append(...choices.cell_finders.map((one) => make("option", { value: one.name }, one.title)));
  at("method").append(...networks.map((one) => make("option", { value: one.id }, networkTitle(one))));
  showChoices();
}

function networkTitle(network) {
  return `${taskTitle(network.task)} by the network ${network.name} (${network.classes.join(", ")})`;
}

function showChoices() {
  const hasRegions = at("regions").files.length > 0;
  show(at("tumour-choice"), !hasRegions);
  show(at("tumour-given"), hasRegions);
  show(at("cell-options"), at("method").value === "");
  // Only scoring by cells can search for tumour: a network takes the regions, or all tissue.
  const search = document.querySelector("input[value=find_tumour]");
  search.disabled = at("method").value !== "";
  if (search.disabled) document.querySelector("input[value=whole_tissue]").checked = true;
}

function receiveDrops() {
  const drop = at("drop");
  // Everywhere else a dropped file would replace the page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    for (const file of event.dataTransfer.files) {
      const input = at(SLIDE_TO_REGIONS.test(file.name) ? "regions" : "slide");
      const files = new DataTransfer();
      files.items.add(file);
      input.files = files.files;
    }
    showChoices();
    announce(`Chosen: ${[...event.dataTransfer.files].map((file) => file.name).join(", ")}`);
  });
}

/** The options of the job as the service names them; what was not asked is left out. */
function chosenOptions() {
  const options = {};
  if (!at("regions").files.length) options[document.querySelector("input[name=tumour]:checked").value] = true;
  if (at("method").value) return { ...options, verb: "predict", checkpoint: at("method").value };
  const [site, specimen] = at("tissue").value.split(" ");
  Object.assign(options, { verb: "score", site, specimen });
  if (at("guideline").value) options.guideline = at("guideline").value;
  if (at("finder").value) options.cell_finder = at("finder").value;
  return options;
}

async function send(form, onJob) {
  const [slide, regions] = [at("slide").files[0], at("regions").files[0]];
  if (!slide) {
    complain(at("form-error"), "Choose a slide first.");
    at("slide").focus();
    return;
  }
  complain(at("form-error"), "");
  const content = new FormData();
  content.append("options", JSON.stringify(chosenOptions()));
  if (regions) content.append("regions", regions);
  content.append("slide", slide);
  const button = at("start");
  button.disabled = true;
  try {
    const job = await sendJob(content, (share) => {
      button.textContent = `Sending ${percent(100 * share, 0)}`;
    });
    form.reset();
    showChoices();
    onJob(job);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    complain(at("form-error"), error.sentences);
  } finally {
    button.disabled = false;
    button.textContent = "Start";
  }
}
