// Drives Chromium for the flows: an order a line on stdin as JSON, its answer a line on stdout.
// Scripts run over the debugging protocol, so that the page's own policy stays in force.
import readline from "node:readline";
import { chromium } from "playwright-core";

const FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-sync", "--disable-component-update",
  // A name of our own for this machine; no other is looked up.
  "--host-resolver-rules=MAP other.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"];

// A fresh profile, in the temporary directory.
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
let context = null;
let page = null;
let protocol = null;
let problems = [];

function watch(origin) {
  context.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) {
      problems.push("a request to " + request.url());
    }
  });
  page.on("pageerror", (error) => problems.push("exception: " + error));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      problems.push("console: " + message.text() + " " + message.location().url);
    }
  });
  page.on("dialog", (dialog) => {
    problems.push("dialog: " + dialog.message());
    dialog.dismiss();
  });
}

const orders = {
  async open({ url, scheme = "light", width = 1280, height = 800 }) {
    await orders.close();
    problems = [];
    context = await browser.newContext({ colorScheme: scheme, viewport: { width, height } });
    page = await context.newPage();
    watch(new URL(url).origin);
    protocol = await context.newCDPSession(page);
    await page.goto(url);
  },
  async close() {
    if (context !== null) {
      await context.close();
      context = null;
    }
  },
  async run({ script }) {
    const told = await protocol.send("Runtime.evaluate",
      { expression: script, returnByValue: true, awaitPromise: true });
    if (told.exceptionDetails) {
      throw new Error(script + ": " + told.exceptionDetails.exception.description);
    }
    return told.result.value;
  },
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  click: ({ role, name }) => page.getByRole(role, { name, exact: true }).click({ timeout: 5000 }),
  resize: ({ width, height }) => page.setViewportSize({ width, height }),
  scheme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme }),
  cookies: () => context.cookies(),
  picture: async ({ path }) => void await page.screenshot({ path }),
  // [role, name] of all that a screen reader is told of.
  async accessible() {
    const { nodes } = await protocol.send("Accessibility.getFullAXTree");
    return nodes.filter((node) => !node.ignored && node.role)
      .map((node) => [node.role.value, node.name ? node.name.value : ""]);
  },
  // What went wrong since it was asked last.
  problems() {
    const told = problems;
    problems = [];
    return told;
  },
};

function limit(work, order) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer in time")), order.do === "open" ? 20000 : 10000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let answer;
  try {
    answer = { told: await limit(orders[order.do](order), order) };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await browser.close();
