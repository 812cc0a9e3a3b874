// The page: a form, a history, and one job that is looked at.

import { ENDED, Refused, follow, getJson, takeToken } from "./api.js";
import { announce, at, complain, duration, percent, show } from "./dom.js";
import { deleteJob, showHistory } from "./history.js";
import { setUpForm } from "./job_form.js";
import { showBadge, showResult } from "./result.js";
import { showNeeds } from "./retry.js";
import { closeViewer, showSlide } from "./viewer.js";

const STATES = { waiting: "Waiting", running: "Scoring", done: "Done", refused: "Not assessable", failed: "Failed", cancelled: "Cancelled" };

let current = null; // id of the job that is looked at
let watching = null; // ends the watch over it
let spoken = 0; // share of the progress that was announced

// Whatever the service refuses, and nobody expected, is said at the top of the page.
window.addEventListener("unhandledrejection", (event) => {
  const error = event.reason;
  if (!(error instanceof Refused)) return;
  event.preventDefault();
  const way = error.status === 401 ? "Open the address that qupath-her2 serve printed." : error.advice;
  complain(at("banner"), [error.message, way].filter(Boolean).join(" "));
});

function refreshHistory() {
  return showHistory(current, openJob, removeJob);
}

async function removeJob(job) {
  await deleteJob(job);
  if (job.id === current && ENDED.includes(job.state)) closeJob();
  await refreshHistory();
}

function closeJob() {
  watching?.abort();
  current = null;
  closeViewer();
  show(at("job"), false);
  show(at("welcome"));
  history.replaceState(null, "", location.pathname);
}

async function openJob(jobId) {
  watching?.abort();
  watching = new AbortController();
  current = jobId;
  spoken = 0;
  complain(at("banner"), "");
  closeViewer();
  show(at("welcome"), false);
  history.replaceState(null, "", `#job=${jobId}`);
  const { signal } = watching;
  const job = await getJson(`/jobs/${jobId}`);
  show(at("job"));
  showJob(job);
  at("job-name").focus();
  await refreshHistory();
  if (ENDED.includes(job.state)) return showEnd(job);
  await follow(
    jobId,
    (next) => {
      if (signal.aborted) return;
      showJob(next);
      if (ENDED.includes(next.state)) {
        refreshHistory();
        showEnd(next);
      }
    },
    signal,
  );
}

/** Show name, state and progress of a job. */
function showJob(job) {
  const hasEnded = ENDED.includes(job.state);
  at("job-name").textContent = job.name;
  const badge = at("badge");
  badge.textContent = STATES[job.state];
  badge.className = job.state === "failed" ? "badge bad" : "badge plain";
  badge.style.borderColor = "";
  show(at("running"), !hasEnded);
  for (const id of ["trouble", "result", "viewer-panel"]) if (!hasEnded) show(at(id), false);
  if (hasEnded) return;
  const bar = at("bar");
  // Nothing is known before the first tile: a bar without a value says so.
  if (!job.progress) bar.removeAttribute("value");
  else bar.value = job.progress;
  const left = job.eta_s === null || job.eta_s === undefined ? "" : `about ${duration(job.eta_s)} left`;
  const begun = job.progress ? `Scoring · ${percent(100 * job.progress, 0)}` : "Reading the slide and looking for tissue";
  const said = job.state === "waiting" ? "Waiting for its turn" : begun;
  at("bar-text").textContent = [said, left, job.message].filter(Boolean).join(" · ");
  at("cancel").onclick = () => deleteJob(job);
  // Each quarter is said aloud, not each event.
  const quarter = Math.floor(4 * job.progress);
  if (quarter > spoken || spoken === 0) announce(`${job.name}: ${at("bar-text").textContent}`);
  spoken = Math.max(quarter, spoken, 0.5);
}

/** Show how a job ended: its result, or why there is none. */
async function showEnd(job) {
  // A refused slide has a run too, with its picture; a failed one has none.
  const result = ["done", "refused"].includes(job.state) ? await resultOf(job.id) : null;
  if (job.id !== current) return;
  const isGood = job.state === "done";
  show(at("result"), isGood);
  show(at("trouble"), !isGood);
  if (result) showBadge(result);
  if (isGood) {
    showResult(job.id, result);
  } else {
    at("trouble-text").textContent = job.message || result?.reason || STATES[job.state];
    at("trouble-advice").textContent = job.advice || "";
    showNeeds(job, result?.refusal_code, openNew);
  }
  announce(`${job.name}: ${STATES[job.state]}. ${isGood ? `${result.answer}. ${result.reason}` : job.message}`);
  if (result?.width_px) await showSlide(job.id, result);
}

async function resultOf(jobId) {
  try {
    return await getJson(`/jobs/${jobId}/result`);
  } catch (error) {
    // A slide that could not even be opened leaves no run.
    if (error instanceof Refused && [404, 409].includes(error.status)) return null;
    throw error;
  }
}

function openNew(job) {
  openJob(job.id);
}

async function start() {
  if (!takeToken()) {
    complain(at("banner"), "This page has no token. Open the address that qupath-her2 serve printed, with all that follows the #.");
    at("start").disabled = true;
    return;
  }
  // Another address pasted into the tab of this page changes only what follows the #.
  window.addEventListener("hashchange", () => location.hash.includes("token=") && takeToken() && location.reload());
  setUpForm(openNew);
  const wanted = new URLSearchParams(location.hash.slice(1)).get("job");
  if (wanted) await openJob(wanted);
  else await refreshHistory();
}

start();
