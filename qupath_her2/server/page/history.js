// The list of jobs: what was done before, and what runs.

import { ENDED, call, getJson } from "./api.js";
import { at, make, show } from "./dom.js";

const STATES = {
  waiting: "waiting",
  running: "running",
  done: "done",
  refused: "not assessable",
  failed: "failed",
  cancelled: "cancelled",
};

/** Show the jobs, newest first; `onOpen` and `onDelete` are told which one was chosen. */
export async function showHistory(current, onOpen, onDelete) {
  const jobs = await getJson("/jobs");
  show(at("history-empty"), jobs.length === 0);
  const list = at("history");
  // The focus stays where it was, though the list is made anew.
  const focused = document.activeElement?.dataset?.key;
  list.replaceChildren(...jobs.map((job) => entry(job, job.id === current, onOpen, onDelete)));
  if (focused) list.querySelector(`[data-key="${focused}"]`)?.focus();
  return jobs;
}

function when(created) {
  return new Date(created).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

function entry(job, isCurrent, onOpen, onDelete) {
  const hasEnded = ENDED.includes(job.state);
  const open = make("button", { type: "button", class: "open", onclick: () => onOpen(job.id) }, job.name);
  open.dataset.key = `open-${job.id}`;
  if (isCurrent) open.setAttribute("aria-current", "true");
  const word = hasEnded ? "Delete" : "Cancel";
  const remove = make(
    "button",
    { type: "button", class: "delete", "aria-label": `${word} ${job.name}`, onclick: () => onDelete(job) },
    word,
  );
  remove.dataset.key = `delete-${job.id}`;
  const about = [STATES[job.state], when(job.created)].join(" · ");
  return make("li", { class: isCurrent ? "current" : null }, open, remove, make("span", { class: "about" }, about));
}

/** Cancel a job, or delete one that has ended. */
export async function deleteJob(job) {
  await call(`/jobs/${job.id}`, { method: "DELETE" });
}
