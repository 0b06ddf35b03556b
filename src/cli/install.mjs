// Runs before `npm start`: on a fresh clone, or after a pull that changed package-lock.json, installs what is missing.
// Plain JavaScript without imports from packages, because none may be there yet.
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const changed = (file) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs;

// npm writes this file last: an install that was cut off does not count.
const installed = changed("node_modules/.package-lock.json");
if (installed === undefined || installed < changed("package-lock.json")) {
  console.error("installing packages (once)");
  const npm = process.env.npm_execpath;
  const flags = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = npm
    ? spawnSync(process.execPath, [npm, ...flags], { cwd: root, stdio: "inherit" })
    : spawnSync("npm", flags, { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
  if (status !== 0) process.exit(status ?? 1);
}
