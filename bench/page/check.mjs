// Checks a page of the report as the web does, and takes its pictures. Ends with status 1 and a line for each fault.
//
//   cd bench/page && npm install --ignore-scripts && cd ../..      (once; needs node 20, chromium and, for the Nu checker, java)
//   node bench/page/check.mjs reports/demo/index.html /tmp/pictures
//
// Two HTML checkers; axe-core with everything opened, on a desktop, a phone and in the dark; no error of a script, no request,
// no sideways scrolling, at most 5 MB. PAGE_TOOLS names another folder that holds node_modules, CHROMIUM another browser.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [file, out] = process.argv.slice(2);
if (!file || !out) {
  console.error("usage: node check.mjs PAGE FOLDER_OF_PICTURES");
  process.exit(2);
}
const tools = process.env.PAGE_TOOLS ?? dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(resolve(tools), "check.mjs"));
const puppeteer = require("puppeteer-core");
const { HtmlValidate } = require("html-validate");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const html = readFileSync(file, "utf8");
const faults = [];
const SIZES = [["desktop", 1280, 900, "light"], ["phone", 390, 844, "light"], ["dark", 1280, 900, "dark"]];
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

function validate(report) {
  for (const { messages } of report.results) for (const m of messages) faults.push(`html-validate, line ${m.line}: ${m.message}`);
}

// Colours of legends are data, so they stand in the page; nothing else may be styled in place.
const rules = { "no-inline-style": ["error", { allowedProperties: ["background"] }], "long-title": "off" };
validate(await new HtmlValidate({ extends: ["html-validate:recommended"], rules }).validateString(html));

if (spawnSync("java", ["-version"]).status === 0) {
  const jar = join(dirname(require.resolve("vnu-jar/package.json")), "build/dist/vnu.jar");
  const nu = spawnSync("java", ["-jar", jar, "--format", "gnu", file], { encoding: "utf8" });
  if (nu.status !== 0) faults.push(...nu.stderr.trim().split("\n").map((line) => `Nu: ${line}`));
} else console.log("no java: the Nu checker was left out");

if (statSync(file).size > 5e6) faults.push(`${statSync(file).size} bytes`);

mkdirSync(out, { recursive: true });
const chromium = process.env.CHROMIUM ?? execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
const browser = await puppeteer.launch({ executablePath: chromium, args: FLAGS });
for (const [name, width, height, scheme] of SIZES) {
  const page = await browser.newPage();
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  page.on("pageerror", (error) => faults.push(`${name}: ${error.message}`));
  page.on("console", (said) => faults.push(`${name}: console ${said.type()}: ${said.text()}`));
  page.on("request", (asked) => /^data:/.test(asked.url()) || asked.isNavigationRequest() || faults.push(`${name}: asks for ${asked.url()}`));
  await page.goto(pathToFileURL(resolve(file)).href);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  if (wide > width) faults.push(`${name}: ${wide} pixels wide`);
  await page.screenshot({ path: join(out, `${name}.png`), fullPage: true });
  if (name === "desktop") await page.pdf({ path: join(out, "print.pdf"), format: "A4", preferCSSPageSize: true });
  await page.evaluate(() => document.querySelectorAll("details").forEach((part) => (part.open = true)));
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  for (const v of violations) faults.push(`${name}: axe ${v.impact}: ${v.help} (${v.nodes.length}, first ${v.nodes[0].target})`);
}
await browser.close();
for (const fault of faults) console.log(fault);
console.log(faults.length ? `${faults.length} faults` : `${file}: no fault`);
process.exit(faults.length ? 1 : 0);
