import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PageServer, startServer } from "../../src/cli/server.ts";

let base: string;
let server: PageServer;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "hypergrad-server-"));
  await mkdir(join(base, "open"));
  await mkdir(join(base, "open-too-similar"));
  await writeFile(join(base, "open", "file.txt"), "inside");
  await writeFile(join(base, "secret.txt"), "outside");
  await writeFile(join(base, "open-too-similar", "secret.txt"), "outside");
  await symlink(base, join(base, "open", "link"));
  await symlink("../unmade.txt", join(base, "open", "dangling"));
  server = await startServer({ script: "1", folders: [join(base, "open")] });
});

afterAll(async () => {
  server.close();
  await rm(base, { recursive: true });
});

const ask = (path: string, init: RequestInit = {}) =>
  fetch(`${server.url}files/${encodeURIComponent(path)}`, { headers: server.headers, ...init });

test("serves what lies in its folder", async () => {
  expect(await (await ask(join(base, "open/file.txt"))).text()).toBe("inside");
  expect((await ask(join(base, "open/none.txt"))).status).toBe(404);
  expect((await ask(join(base, "open/new/deep.txt"), { method: "POST", body: "new" })).status).toBe(200);
  expect(await readFile(join(base, "open/new/deep.txt"), "utf8")).toBe("new");
  expect((await ask(join(base, "open/new/deep.txt"), { method: "PATCH", body: "er" })).status).toBe(200);
  expect(await readFile(join(base, "open/new/deep.txt"), "utf8")).toBe("newer");
});

test("sets a file of its folder aside", async () => {
  const path = join(base, "open/old/log.jsonl");
  await ask(path, { method: "POST", body: "old" });
  const aside = await (await ask(path, { method: "MOVE" })).text();
  expect(aside).toMatch(/old\/log-before\.jsonl$/);
  expect(await readFile(aside, "utf8")).toBe("old");
  expect(await (await ask(path, { method: "MOVE" })).text()).toBe("");
});

test("lists its folders, and no others", async () => {
  const list = (path: string) =>
    fetch(`${server.url}files/${encodeURIComponent(path)}?list`, { headers: server.headers });
  expect(await (await list(join(base, "open"))).json()).toContain("file.txt");
  expect((await list(base)).status).toBe(403);
  expect((await list(join(base, "open/none"))).status).toBe(404);
  expect((await list(join(base, "open/file.txt"))).status).toBe(500);
});

test.each([
  ["a path beside", "secret.txt"],
  ["dots", "open/../secret.txt"],
  ["a folder whose name begins alike", "open-too-similar/secret.txt"],
  ["a link", "open/link/secret.txt"],
  ["a new file behind a link", "open/link/new.txt"],
  ["a link to what is not there yet", "open/dangling"],
  ["the system's files", "../../../../../../etc/hostname"],
])("refuses %s", async (_, path) => {
  for (const method of ["GET", "HEAD", "POST", "PATCH", "MOVE"]) {
    const body = method.startsWith("P") ? "bad" : undefined;
    const response = await ask(`${base}/${path}`, { method, body });
    expect(response.status).toBe(403);
  }
  expect(await readFile(join(base, "secret.txt"), "utf8")).toBe("outside");
});

test("refuses a file address, a broken one and a stranger", async () => {
  expect((await ask(`file://${base}/secret.txt`)).status).toBe(403);
  expect((await fetch(`${server.url}files/%ff`, { headers: server.headers })).status).toBe(400);
  expect(
    (await fetch(`${server.url}files/..%2f..%2fetc%2fhostname`, { headers: server.headers })).status,
  ).toBe(403);
  expect((await fetch(server.url)).status).toBe(403);
  expect((await ask(join(base, "open/file.txt"), { headers: {} })).status).toBe(403);
});
