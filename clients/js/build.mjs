// Makes dist from src: tsc judges the types and makes the declarations, esbuild makes one module of the rest.
//
//   node build.mjs           writes dist
//   node build.mjs --check   fails if dist is not what src makes of it
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const SIZE_MAX = 34_000;
const here = (path) => new URL(path, import.meta.url);
const { version } = JSON.parse(await readFile(here("package.json"), "utf8"));

execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc").pathname, "-p", here("tsconfig.json").pathname], { stdio: "inherit" });

const { outputFiles } = await build({
  entryPoints: [here("build/vestibule.js").pathname],
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  write: false,
  banner: { js: `// Vestibule's client, ${version}: made from clients/js/src of its repository. Apache-2.0.` },
});
// Comments stay where the code is written; what is left of them by esbuild, and its marks, would only be carried about.
const code = outputFiles[0].text
  .replaceAll(/^ *\/\*\*.*\*\/\n|^ *\/\*\*\n(?: *\*.*\n)*? *\*\/\n|^ *\/\/ (?!Vestibule's client).*\n/gm, "")
  .replaceAll("/* @__PURE__ */ ", "")
  .replaceAll(/^(?: {2})+/gm, (indent) => "\t".repeat(indent.length / 2));
const types = await readFile(here("build/vestibule.d.ts"), "utf8");

const faults = [];
if (Buffer.byteLength(code) >= SIZE_MAX) faults.push(`vestibule.js has ${Buffer.byteLength(code)} bytes, ${SIZE_MAX} at most`);
if (/^import .* from "(?!\.)|require\(/m.test(code)) faults.push("vestibule.js imports something");

for (const [path, text] of [["dist/vestibule.js", code], ["dist/vestibule.d.ts", types]]) {
  if (!process.argv.includes("--check")) await writeFile(here(path), text);
  else if ((await readFile(here(path), "utf8").catch(() => "")) !== text) faults.push(`${path} is not what src makes: run npm run build`);
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
console.log(`vestibule.js: ${Buffer.byteLength(code)} bytes`);
