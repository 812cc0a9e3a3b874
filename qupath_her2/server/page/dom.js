// Elements of the page. Text is always set as text: names of files and regions come from anywhere.

export function at(id) {
  return document.getElementById(id);
}

/** Make an element: attributes by name, handlers as onclick …, then text and child elements. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element[name] = value;
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function show(element, isShown = true) {
  element.hidden = !isShown;
}

/** Say something to those who hear the page. */
export function announce(text) {
  at("announcer").textContent = text;
}

/** Show or clear a sentence of refusal in its place. */
export function complain(element, text) {
  element.textContent = text || "";
  element.hidden = !text;
}

export function percent(value, digits = 1) {
  return `${value.toFixed(digits)} %`;
}

export function count(number) {
  return number.toLocaleString("en-GB");
}

/** What a network tells: the status of a receptor, or else its task by its own name. */
export function taskTitle(task) {
  if (task.startsWith("her2")) return "HER2 status";
  return { er: "ER status", pr: "PR status" }[task] || task;
}

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
