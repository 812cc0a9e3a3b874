// What a slide still needs before it can be scored: asked where it is missing, and only then.

import { Refused, postJson } from "./api.js";
import { at, complain, make, show } from "./dom.js";

// Reasons of a refusal that a choice of the user can take away.
const NEEDS = { pixel_size_missing: "pixel_size_um", no_tumour_region: "regions" };

const ASKED = {
  pixel_size_um: () => [
    make("label", { for: "need-pixel" }, "Pixel size, µm"),
    make("input", { id: "need-pixel", name: "pixel_size_um", type: "number", min: "0.05", max: "10", step: "any", required: true, "aria-describedby": "need-pixel-help" }),
    make("p", { id: "need-pixel-help", class: "quiet" }, "As the scanner states it: about 0.25 at 40x, about 0.5 at 20x. A wrong value gives a wrong score."),
  ],
  regions: () => [
    make(
      "fieldset",
      {},
      make("legend", {}, "Where is the tumour?"),
      choice("find_tumour", "Let the program find it", true),
      choice("whole_tissue", "All tissue on the slide", false),
    ),
  ],
};

function choice(value, text, isChosen) {
  const input = make("input", { type: "radio", name: "tumour", value, checked: isChosen });
  return make("label", { class: "choice" }, input, ` ${text}`);
}

// In place of the reason, which speaks of the command line where the answer can be given here.
const SAID = {
  pixel_size_um: "The file states no pixel size, and without it no membrane can be measured. Type it below.",
  regions: "There is no tumour region to score. Send regions with the slide, or choose below.",
};

/** Ask for what a refused job needs and say why; where nothing would help, ask nothing. */
export function showNeeds(job, refusalCode, onJob) {
  const form = at("again");
  const needs = job.needs.length ? job.needs : [NEEDS[refusalCode]];
  const asked = needs.filter((name) => name in ASKED);
  if (asked.length) at("trouble-text").textContent = asked.map((name) => SAID[name]).join(" ");
  show(form, asked.length > 0);
  complain(at("again-error"), "");
  if (!asked.length) return;
  const button = make("button", { type: "submit", class: "main" }, "Score again");
  at("again-fields").replaceChildren(...asked.flatMap((name) => ASKED[name]()), button);
  form.onsubmit = (event) => {
    event.preventDefault();
    retry(form, job.id, onJob);
  };
}

async function retry(form, jobId, onJob) {
  if (!form.reportValidity()) return;
  const given = new FormData(form);
  const options = {};
  if (given.has("pixel_size_um")) options.pixel_size_um = Number(given.get("pixel_size_um"));
  // Both are named: the earlier job may have asked for the other.
  if (given.has("tumour")) for (const one of ["find_tumour", "whole_tissue"]) options[one] = given.get("tumour") === one;
  try {
    onJob(await postJson(`/jobs/${jobId}/retry`, options));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    complain(at("again-error"), error.sentences);
  }
}
