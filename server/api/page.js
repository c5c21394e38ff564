// The overview: streams as the API tells them, kept up to date by server-sent events. Texts reach
// the page as text only, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const rows = new Map(); // by name: what is known of a stream, and its cells
const RATE_MS = 20000; // a rate is over so long; key frames may be 10 s apart
const RATE_LEAST_MS = 1000; // over less it would be chance
const GAPS_STREAMS = 200; // with more streams, gaps are counted since the server's start
const RETRY_MS = 10000;
const SILENT_MS = 30000; // after so long without a word another connection is tried
const OPENS_MS = 5000; // which should take no longer
const RECOUNT_MS = 10 * 60 * 1000; // gaps of a day: some become older than that
const DAY_MS = 24 * 3600 * 1000;

let events = null;
let retry = null;
let gapsOfDay = false;
let turn = 0; // of `begin`: what an older one waits for is no longer wanted
let heardAt = 0;

// ---- asking ----

async function ask(method, path, body) {
  const options = { method, headers: {}, cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const json = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  return { status: answer.status, data: json ? await answer.json() : null };
}

async function askAll(path, member) {
  const all = [];
  let after = "";
  do {
    const mark = path.includes("?") ? "&" : "?";
    const answer = await ask("GET", path + (after ? mark + "after=" + encodeURIComponent(after) : ""));
    if (answer.status !== 200) {
      return null;
    }
    all.push(...answer.data[member]);
    after = answer.data.next;
  } while (after && all.length < 20000);
  return all;
}

// ---- how numbers look ----

function bytesText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) {
    bytes /= 1024;
  }
  return (unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)) + " " + units[unit];
}

function ageText(seconds) {
  if (seconds < 60) {
    return Math.floor(seconds) + " s";
  }
  if (seconds < 3600) {
    return Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
  }
  if (seconds < 2 * 86400) {
    return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
  }
  return Math.floor(seconds / 86400) + " days";
}

function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

// ---- one stream ----

function labelCells(cells) {
  const heads = document.querySelectorAll("thead th");
  Object.values(cells).forEach((cell, i) => {
    cell.dataset.label = heads[i + 1].textContent;
  });
}

function addRow(name) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  line.append(head);
  const cells = {};
  for (const cell of ["state", "age", "rate", "gaps", "disk", "readers"]) {
    cells[cell] = document.createElement("td");
    cells[cell].className = cell === "state" ? "state" : "number";
    line.append(cells[cell]);
  }
  // Told in words, as a narrow screen lays it out as no table.
  line.setAttribute("role", "row");
  head.setAttribute("role", "rowheader");
  Object.values(cells).forEach((cell) => cell.setAttribute("role", "cell"));
  labelCells(cells);
  const word = document.createElement("span");
  const problem = document.createElement("span");
  problem.className = "problem";
  cells.state.append(word, problem);
  const row = { name, line, cells, word, problem, samples: [], dayGaps: 0, data: null, age: null, at: 0 };
  rows.set(name, row);
  insertRow(row);
  return row;
}

function insertRow(row) {
  const body = byId("streams");
  const last = body.lastElementChild;
  if (last === null || last.firstElementChild.textContent < row.name) {
    body.append(row.line); // as they come in order, most go here
    return;
  }
  let low = 0;
  let high = body.children.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (body.children[middle].firstElementChild.textContent < row.name) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  body.insertBefore(row.line, body.children[low]);
}

function removeRow(name) {
  const row = rows.get(name);
  if (row !== undefined) {
    row.line.remove();
    rows.delete(name);
  }
}

function stateOf(data) {
  const source = data.source;
  if (source && source.state === "waiting") {
    return ["failed", "source failed", source.problem || ""];
  }
  if (source && source.state === "starting" && data.health !== "recording") {
    return ["starting", "source starting", source.problem || ""];
  }
  return [data.health, data.health, ""];
}

function rateOf(row) {
  const first = row.samples[0];
  const last = row.samples[row.samples.length - 1];
  if (last.at - first.at < RATE_LEAST_MS || performance.now() - last.at > RATE_MS) {
    return null;
  }
  return Math.max(0, (last.bytes - first.bytes) / ((last.at - first.at) / 1000));
}

function show(data) {
  const row = rows.get(data.name) || addRow(data.name);
  const now = performance.now();
  row.data = data;
  row.age = data.last_fragment_age_s;
  row.at = now;
  const bytes = Number(data.counters.bytes);
  if (row.samples.length > 0 && bytes < row.samples[row.samples.length - 1].bytes) {
    row.samples = []; // the server was started anew
  }
  row.samples.push({ at: now, bytes });
  while (row.samples.length > 2 && now - row.samples[0].at > RATE_MS) {
    row.samples.shift();
  }
  const [kind, word, problem] = stateOf(data);
  row.word.className = "word " + kind;
  setText(row.word, word);
  setText(row.problem, problem);
  setText(row.cells.disk, bytesText(Number(data.counters.bytes_on_disk)));
  setText(row.cells.readers, String(data.consumers));
  showGaps(row);
  count(row);
}

function showGaps(row) {
  setText(row.cells.gaps, String(gapsOfDay ? row.dayGaps : row.data.counters.gaps));
}

// What changes by itself.
function count(row) {
  const age = row.age === null ? null : row.age + (performance.now() - row.at) / 1000;
  const rate = rateOf(row);
  setText(row.cells.age, age === null ? "none" : ageText(age) + " ago");
  setText(row.cells.rate, rate === null || rate === 0 ? "\u2013" : bytesText(rate) + "/s");
}

// ---- all of them ----

function filterRows() {
  const wanted = byId("filter").value.toLowerCase();
  for (const row of rows.values()) {
    row.line.hidden = !row.name.toLowerCase().includes(wanted);
  }
}

function summarise() {
  const counts = new Map();
  for (const row of rows.values()) {
    const word = stateOf(row.data)[1];
    counts.set(word, (counts.get(word) || 0) + 1);
  }
  const parts = [...counts].sort().map(([word, number]) => number + " " + word);
  setText(byId("summary"), rows.size + (rows.size === 1 ? " stream" : " streams") +
    (parts.length > 0 ? ": " + parts.join(", ") : ""));
  byId("empty").hidden = rows.size > 0;
}

function showAll(streams) {
  const names = new Set(streams.map((data) => data.name));
  for (const name of [...rows.keys()]) {
    if (!names.has(name)) {
      removeRow(name);
    }
  }
  streams.forEach(show);
  filterRows();
  summarise();
}

function showServer(data) {
  const node = byId("server");
  const failing = data.health !== "ok";
  const free = data.storage.map((disk) => bytesText(Number(disk.free_bytes)));
  node.className = failing ? "failing" : "";
  setText(node, failing ? "The server is failing: " + data.reason
    : "The server is well. Free room: " + (free.join(", ") || "not known") +
      (data.clock_in_doubt ? ". Its clock may be wrong: retention by age pauses." : "."));
}

async function countGaps() {
  const from = new Date(Date.now() - DAY_MS).toISOString();
  const gaps = rows.size > GAPS_STREAMS ? null
    : await askAll("/api/v1/gaps?limit=1000&from=" + encodeURIComponent(from), "gaps");
  gapsOfDay = gaps !== null;
  setText(byId("gaps-head"), gapsOfDay ? "Gaps, 24 h" : "Gaps since start");
  for (const row of rows.values()) {
    row.dayGaps = 0;
    labelCells(row.cells);
  }
  for (const gap of gaps || []) {
    const row = rows.get(gap.stream);
    if (row !== undefined) {
      row.dayGaps++;
    }
  }
  rows.forEach(showGaps);
}

// ---- events ----

const LOST = "The connection to the server is lost; trying again. What is shown is of ";

function showLost() {
  const overview = byId("overview");
  if (overview.hidden) {
    setText(byId("trouble"), "No connection to the server; trying again.");
  } else if (!overview.classList.contains("lost")) {
    overview.classList.add("lost");
    setText(byId("server"), "");
    setText(byId("trouble"), LOST + new Date().toLocaleTimeString() + ".");
  }
}

function showFound() {
  heardAt = performance.now();
  byId("overview").classList.remove("lost");
  setText(byId("trouble"), "");
}

function handleEvent(kind, handle) {
  events.addEventListener(kind, (event) => {
    showFound();
    handle(JSON.parse(event.data));
  });
}

function listen() {
  events = new EventSource("/api/v1/events");
  heardAt = performance.now();
  let opened = false;
  events.onopen = () => {
    opened = true;
    showFound();
  };
  handleEvent("hello", (data) => {
    showAll(data.streams);
    countGaps().catch(() => {});
  });
  handleEvent("stream", (data) => {
    const known = rows.has(data.name);
    show(data);
    if (!known) {
      filterRows();
    }
  });
  handleEvent("gone", (data) => removeRow(data.name));
  handleEvent("gap", (gap) => {
    const row = rows.get(gap.stream);
    if (gap.open && row !== undefined) {
      row.dayGaps++;
      showGaps(row);
    }
  });
  handleEvent("server", showServer);
  events.onerror = () => {
    showLost();
    if (events !== null && events.readyState === EventSource.CLOSED) {
      // Refused. Where it was allowed before, ask at once whether a sign-in is needed.
      later(opened ? 0 : RETRY_MS);
    }
  };
}

// Who may see idle streams alone hears nothing for long: a new connection tells whether all is well.
function lookAtConnection(silentMs) {
  if (silentMs > OPENS_MS && events.readyState !== EventSource.OPEN) {
    showLost();
  }
  if (silentMs > SILENT_MS) {
    events.close();
    listen();
  }
}

function stop() {
  turn++;
  if (events !== null) {
    events.close();
    events = null;
  }
  clearTimeout(retry);
}

function later(waitMs) {
  stop();
  retry = setTimeout(begin, waitMs);
}

// ---- signing in and out ----

function showSignIn(why) {
  stop();
  byId("overview").hidden = true;
  byId("sign-out").hidden = true;
  byId("sign-in").hidden = false;
  setText(byId("who"), "");
  setText(byId("server"), "");
  setText(byId("refused"), why);
  for (const name of [...rows.keys()]) {
    removeRow(name); // nothing of what somebody else saw stays
  }
  byId("filter").value = "";
  byId("name").focus();
}

function showOverview(who) {
  const signedIn = !byId("sign-in").hidden;
  byId("sign-in").hidden = true;
  byId("overview").hidden = false;
  byId("sign-out").hidden = who.open_mode || who.kind !== "user";
  setText(byId("who"), who.open_mode
    ? "Nobody has credentials yet: everybody on this machine may do everything."
    : "Signed in as " + who.name);
  if (signedIn) {
    byId("streams-title").focus(); // what had the focus is gone
  }
}

function messageOf(answer) {
  return (answer.data && answer.data.message) || "The server answers " + answer.status + ".";
}

async function begin() {
  stop();
  if (document.hidden) {
    return; // it begins when somebody looks
  }
  const mine = turn;
  try {
    const who = await ask("GET", "/api/v1/session");
    if (mine !== turn) {
      return;
    }
    setText(byId("trouble"), "");
    if (who.status === 401 || who.status === 403) {
      showSignIn(who.status === 403 ? messageOf(who) : "");
      return;
    }
    if (who.status !== 200) {
      setText(byId("trouble"), messageOf(who));
      later(RETRY_MS);
      return;
    }
    showOverview(who.data);
    const streams = await askAll("/api/v1/streams?limit=1000", "streams");
    if (mine !== turn) {
      return;
    }
    if (streams !== null) {
      showAll(streams);
    }
    listen();
  } catch (error) {
    if (mine === turn) {
      showLost();
      later(RETRY_MS);
    }
  }
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  setText(byId("refused"), "");
  try {
    const body = { name: form.elements.name.value, password: form.elements.password.value };
    const answer = await ask("POST", "/api/v1/session", body);
    form.elements.password.value = "";
    if (answer.status === 200) {
      form.reset(); // after signing out somebody else may sit here
      begin();
    } else {
      setText(byId("refused"), messageOf(answer));
      form.elements.password.focus();
    }
  } catch (error) {
    setText(byId("refused"), "No connection to the server.");
  }
});

byId("sign-out").addEventListener("click", async () => {
  try {
    await ask("DELETE", "/api/v1/session");
    begin();
  } catch (error) {
    showLost(); // the session is still there: it must not look as if it were not
  }
});

// A browser has six connections to a server for all its tabs: a seventh tab would wait for ever.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stop();
  } else if (byId("sign-in").hidden) {
    begin();
  }
});

byId("filter").addEventListener("input", filterRows);

setInterval(() => {
  if (!byId("overview").hidden) {
    countGaps().catch(() => {}); // no connection: that is told elsewhere
  }
}, RECOUNT_MS);

setInterval(() => {
  if (byId("overview").hidden) {
    return;
  }
  rows.forEach(count);
  summarise();
  if (events !== null) {
    lookAtConnection(performance.now() - heardAt);
  }
}, 1000);

begin();
