// Calls of the service. The token comes with the address once, is kept for this tab alone, and goes out as a header only.

const KEY = "qupath-her2-token";
export const API = "/api/v1";

/** Take the token out of the address bar, where it would be seen and copied; return it, or null where none is known. */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    fragment.delete("token");
    const rest = fragment.toString();
    history.replaceState(null, "", location.pathname + (rest ? `#${rest}` : ""));
  }
  return sessionStorage.getItem(KEY);
}

export function authorization() {
  return { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
}

/** A call that was refused, with the sentences of the service. */
export class Refused extends Error {
  constructor(status, error, advice = "") {
    super(error);
    this.status = status;
    this.advice = advice;
  }

  get sentences() {
    return [this.message, this.advice].filter(Boolean).join(" ");
  }
}

const GONE = new Refused(0, "The service does not answer.", "Check that it is still running, then load this page again.");

function refusal(status, text) {
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    // A proxy's page, or nothing: the status is all there is to say.
  }
  return new Refused(status, said.error || `The service answered with status ${status}.`, said.advice);
}

/** Call the service; throws Refused where it refuses or does not answer. */
export async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(API + path, { ...options, headers: { ...authorization(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw GONE;
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text());
  return answer;
}

export async function getJson(path, options) {
  return (await call(path, options)).json();
}

export async function postJson(path, content) {
  const headers = { "Content-Type": "application/json" };
  return getJson(path, { method: "POST", headers, body: JSON.stringify(content) });
}

/** Send a new job. fetch cannot tell how much was sent, hence XMLHttpRequest. */
export function sendJob(form, onShare) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${API}/jobs`);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onShare(event.loaded / event.total);
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText));
    };
    request.onerror = () => reject(GONE);
    request.send(form);
  });
}

export const ENDED = ["done", "refused", "failed", "cancelled"];

/** Hand each state of a job to `onJob` until it has ended; begins anew where the connection was cut. */
export async function follow(jobId, onJob, signal) {
  for (;;) {
    const stream = await opened(`/jobs/${jobId}/events`, signal);
    while (stream) {
      const job = await nextEvent(stream, signal);
      if (signal.aborted) return;
      if (!job) break;
      onJob(job);
      if (ENDED.includes(job.state)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 1500));
    if (signal.aborted) return;
  }
}

/** The events of an address; null where the service does not answer at the moment. */
async function opened(path, signal) {
  try {
    return events((await call(path, { signal })).body);
  } catch (error) {
    if (error instanceof Refused && error.status >= 400 && error.status < 500) throw error;
    return null;
  }
}

/** The next event; undefined where the stream has ended or was cut. */
async function nextEvent(stream, signal) {
  try {
    return (await stream.next()).value;
  } catch (error) {
    if (!signal.aborted) console.warn("The stream of events was cut:", error);
    return undefined;
  }
}

/** Yield the data of server-sent events. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5).trimStart()).join("\n"));
    }
  }
}

/** Save a file that only a call with the token can read. */
export async function save(path) {
  const answer = await call(path);
  const stated = answer.headers.get("Content-Disposition") || "";
  const name = /filename\*=UTF-8''([^;]+)/.exec(stated);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name ? decodeURIComponent(name[1]) : path.split("/").pop();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
