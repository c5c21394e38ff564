// The overview: streams as the API tells them, kept up to date by server-sent events. Texts reach
// the page as text only, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const rows = new Map(); // by name: what is known of a stream, and its cells
const RATE_MS = 10000; // a rate is over so long
const GAPS_STREAMS = 200; // with more streams, gaps are counted since the server's start
const RETRY_MS = 10000;
const DAY_MS = 24 * 3600 * 1000;

let events = null;
let retry = null;
let gapsOfDay = false;

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

function addRow(name) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  line.append(head);
  const cells = {};
  for (const cell of ["state", "age", "rate", "gaps", "disk", "readers"]) {
    cells[cell] = document.createElement("td");
    if (cell !== "state") {
      cells[cell].className = "number";
    }
    line.append(cells[cell]);
  }
  cells.word = document.createElement("span");
  cells.problem = document.createElement("span");
  cells.problem.className = "problem";
  cells.state.append(cells.word, cells.problem);
  const row = { name, line, cells, samples: [], dayGaps: 0, data: null, age: null, at: 0 };
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
  if (row.samples.length < 2 || last.at <= first.at || performance.now() - last.at > RATE_MS) {
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
  row.cells.word.className = kind;
  setText(row.cells.word, word);
  setText(row.cells.problem, problem);
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
  setText(row.cells.rate, rate === null ? "-" : bytesText(rate) + "/s");
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
  const free = data.disks.map((disk) => bytesText(Number(disk.free_bytes)));
  node.className = failing ? "failing" : "";
  setText(node, failing ? "The server is failing: " + data.reason
    : "The server is well. Free room: " + (free.join(", ") || "not known") +
      (data.clock_in_doubt ? ". Its clock may be wrong: retention by age pauses." : "."));
}

async function countGaps() {
  gapsOfDay = false;
  if (rows.size <= GAPS_STREAMS) {
    const from = new Date(Date.now() - DAY_MS).toISOString();
    const gaps = await askAll("/api/v1/gaps?limit=1000&from=" + encodeURIComponent(from), "gaps");
    if (gaps !== null) {
      gapsOfDay = true;
      for (const row of rows.values()) {
        row.dayGaps = 0;
      }
      for (const gap of gaps) {
        const row = rows.get(gap.stream);
        if (row !== undefined) {
          row.dayGaps++;
        }
      }
    }
  }
  setText(byId("gaps-head"), gapsOfDay ? "Gaps, 24 h" : "Gaps since start");
  for (const row of rows.values()) {
    showGaps(row);
  }
}

// ---- events ----

function listen() {
  events = new EventSource("/api/v1/events");
  events.addEventListener("hello", (event) => {
    showAll(JSON.parse(event.data).streams);
    countGaps().catch(() => {});
  });
  events.addEventListener("stream", (event) => {
    const data = JSON.parse(event.data);
    const known = rows.has(data.name);
    show(data);
    if (!known) {
      filterRows();
    }
  });
  events.addEventListener("gone", (event) => removeRow(JSON.parse(event.data).name));
  events.addEventListener("gap", (event) => {
    const gap = JSON.parse(event.data);
    const row = rows.get(gap.stream);
    if (gap.open && row !== undefined) {
      row.dayGaps++;
      showGaps(row);
    }
  });
  events.addEventListener("server", (event) => showServer(JSON.parse(event.data)));
  events.onerror = () => {
    if (events !== null && events.readyState === EventSource.CLOSED) {
      later(); // refused: not allowed any more, or too many readers
    } else {
      setText(byId("server"), "No connection to the server; trying again.");
    }
  };
}

function stop() {
  if (events !== null) {
    events.close();
    events = null;
  }
  clearTimeout(retry);
}

function later() {
  stop();
  retry = setTimeout(begin, RETRY_MS);
}

// ---- signing in and out ----

function showSignIn() {
  stop();
  byId("overview").hidden = true;
  byId("sign-out").hidden = true;
  byId("sign-in").hidden = false;
  setText(byId("who"), "");
  for (const name of [...rows.keys()]) {
    removeRow(name); // nothing of what somebody else saw stays
  }
  byId("name").focus();
}

function showOverview(who) {
  byId("sign-in").hidden = true;
  byId("overview").hidden = false;
  byId("sign-out").hidden = who.open_mode || who.kind !== "user";
  setText(byId("who"), who.open_mode
    ? "Nobody has credentials yet: everybody on this machine may do everything."
    : "Signed in as " + who.name);
}

async function begin() {
  stop();
  try {
    const who = await ask("GET", "/api/v1/session");
    if (who.status === 401 || who.status === 403) {
      showSignIn();
    } else if (who.status === 200) {
      showOverview(who.data);
      const streams = await askAll("/api/v1/streams?limit=1000", "streams");
      if (streams !== null) {
        showAll(streams);
      }
      listen();
    } else {
      later();
    }
  } catch (error) {
    setText(byId("server"), "No connection to the server; trying again.");
    later();
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
      begin();
    } else {
      setText(byId("refused"), (answer.data && answer.data.message) || "That did not work.");
    }
  } catch (error) {
    setText(byId("refused"), "No connection to the server.");
  }
});

byId("sign-out").addEventListener("click", async () => {
  try {
    await ask("DELETE", "/api/v1/session");
  } finally {
    begin();
  }
});

byId("filter").addEventListener("input", filterRows);

setInterval(() => {
  if (rows.size > 0 && !byId("overview").hidden) {
    rows.forEach(count);
    summarise();
  }
}, 1000);

begin();
