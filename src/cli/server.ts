import { randomUUID } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { sep } from "node:path";
import { fileURLToPath } from "node:url";
import { appendFile, listFolder, readFile, setAside, writeFile } from "../host/files.ts";
import { realPath } from "../host/realpath.ts";

export interface PageServer {
  url: string;
  /** What every request must carry: other programs and pages of this machine have no business here. */
  headers: Record<string, string>;
  close(): void;
}

export interface PageServerOptions {
  /** The module that the page runs. */
  script: string;
  /** The folders whose files the page may read and write under /files/PATH, and list under /files/PATH?list. */
  folders: readonly string[];
}

const header = "x-hypergrad";

const page = `<!doctype html><meta charset="utf-8"><title>hypergrad</title><link rel="icon" href="data:,">
<script type="module" src="/script.js"></script>`;

/** A server on 127.0.0.1 for one page and the files that it may touch. */
export async function startServer(options: PageServerOptions): Promise<PageServer> {
  const folders = await Promise.all(options.folders.map((folder) => realpath(folder)));
  const secret = randomUUID();

  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string | Uint8Array) => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
      response.end(request.method === "HEAD" ? undefined : body);
    };
    const refuse = (status: number, why: string) => answer(status, "text/plain; charset=utf-8", why);
    if (request.headers[header] !== secret) return refuse(403, "not for you");
    const { pathname, search } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/") return answer(200, "text/html; charset=utf-8", page);
    if (pathname === "/script.js") return answer(200, "text/javascript; charset=utf-8", options.script);
    if (!pathname.startsWith("/files/")) return refuse(404, "there is no such page");
    serveFile(request, pathname, search === "?list", folders).then(
      ({ status, body }) => answer(status, "application/octet-stream", body),
      (error: unknown) => refuse(500, error instanceof Error ? error.message : String(error)),
    );
  });
  await new Promise<void>((ready, failed) => {
    server.once("error", failed);
    server.listen(0, "127.0.0.1", ready);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    headers: { [header]: secret },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function serveFile(
  request: IncomingMessage,
  pathname: string,
  list: boolean,
  folders: readonly string[],
): Promise<{ status: number; body: string | Uint8Array }> {
  let name: string;
  try {
    name = decodeURIComponent(pathname.slice("/files/".length));
    if (name.startsWith("file:")) name = fileURLToPath(name);
  } catch {
    return { status: 400, body: "this is no path" };
  }
  if (name.includes("\0")) return { status: 400, body: "this is no path" };
  // A link must not lead out of a folder.
  const path = await realPath(name);
  if (
    !folders.some(
      (folder) => path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep),
    )
  ) {
    return {
      status: 403,
      body: `a page may only use files under ${folders.join(" and ")}; start hypergrad in the folder, or name it with --data`,
    };
  }
  switch (request.method) {
    case "GET":
    case "HEAD": {
      const found = await stat(path).catch(() => undefined);
      if (!found) return { status: 404, body: "there is no such file" };
      if (request.method === "HEAD") return { status: 200, body: "" };
      if (list) return { status: 200, body: JSON.stringify(await listFolder(path)) };
      if (found.isDirectory()) return { status: 400, body: "it is a folder" };
      return { status: 200, body: await readFile(path) };
    }
    case "POST":
    case "PATCH": {
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part as Uint8Array);
      const bytes = Buffer.concat(parts);
      await (request.method === "POST" ? writeFile(path, bytes) : appendFile(path, bytes.toString()));
      return { status: 200, body: "" };
    }
    case "MOVE":
      return { status: 200, body: (await setAside(path)) ?? "" };
    default:
      return { status: 405, body: "GET, HEAD, POST to write, PATCH to append or MOVE to set aside" };
  }
}
