import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Served {
  bytes: Uint8Array;
  /** Breaks the connection after so many bytes of an answer. */
  breakAfter?: number;
  /** Answers a range with the whole file. */
  withoutRanges?: boolean;
  /** Sends nothing and never ends. */
  silent?: boolean;
}

export interface FileServer {
  url: string;
  /** "GET /name bytes=5-" of each request so far. */
  requests: string[];
  close(): void;
}

/** A server on 127.0.0.1 of these files, which may be changed while it runs. */
export async function serveFiles(files: Record<string, Served>): Promise<FileServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { range } = request.headers;
    requests.push([request.method, request.url, range].filter(Boolean).join(" "));
    const file = files[request.url!.slice(1)];
    if (!file) return response.writeHead(404).end("there is no such file");
    if (file.silent) return response.writeHead(200).flushHeaders();
    const from = range && !file.withoutRanges ? Number(/^bytes=(\d+)-$/.exec(range)![1]) : 0;
    const total = file.bytes.length;
    if (from >= total && total > 0) return response.writeHead(416).end();
    const rest = file.bytes.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": rest.length,
      ...(from > 0 && { "content-range": `bytes ${from}-${total - 1}/${total}` }),
    });
    if (file.breakAfter === undefined) return response.end(rest);
    response.write(rest.subarray(0, file.breakAfter), () => setTimeout(() => response.destroy(), 20));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
