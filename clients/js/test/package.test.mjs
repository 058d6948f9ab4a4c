// What npm would hand out: the files that it should have and no others, importable, with types that fit.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));

let folder;
let files;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "vestibule-pack-"));
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  const told = JSON.parse(stdout);
  // An array, or from npm 12 on an object by name.
  const [packed] = Object.values(told);
  files = packed.files.map(({ path }) => path).sort();
  await run("tar", ["-xzf", join(folder, packed.filename), "-C", folder]);
  await mkdir(join(folder, "node_modules"));
  await rename(join(folder, "package"), join(folder, "node_modules", "vestibule-client"));
});

after(() => rm(folder, { recursive: true }));

test("the package has the client, its types, its licence and nothing else", async () => {
  assert.deepEqual(files, ["LICENSE", "README.md", "dist/vestibule.d.ts", "dist/vestibule.js", "package.json"]);
  const packed = JSON.parse(await readFile(join(folder, "node_modules", "vestibule-client", "package.json"), "utf8"));
  assert.deepEqual(packed.dependencies ?? {}, {});
  assert.equal(packed.version, /^version = "(.*)"$/m.exec(await readFile(join(root, "../../Cargo.toml"), "utf8"))[1]);
});

test("the package can be imported", async () => {
  const said = "import { connect } from 'vestibule-client'; console.log(typeof connect);";
  await writeFile(join(folder, "said.mjs"), said);
  const { stdout } = await run(process.execPath, ["said.mjs"], { cwd: folder });
  assert.equal(stdout, "function\n");
});

test("the package's types let pass what is right, and nothing else", async () => {
  await copyFile(join(root, "test", "typed.ts"), join(folder, "typed.ts"));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--types", "", "typed.ts"];
  await run(process.execPath, [compiler, ...options], { cwd: folder }).catch(({ stdout }) => assert.fail(stdout));
});
