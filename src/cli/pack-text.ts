/** `hypergrad`: finds its folder with the shell alone, for an environment whose PATH holds little. */
export const launcher = `#!/bin/sh
self=$0
[ -L "$self" ] && self=$(readlink -f -- "$self")
here=\${self%/*}
[ "$here" = "$self" ] && here=.
node=node
[ -x "$here/node" ] && node=$here/node
exec "$node" "$here/hypergrad.mjs" "$@"
`;

/** `hypergrad.mjs`: an older Node is told so before it meets what it cannot read. */
export const program = `#!/usr/bin/env node
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(\`error: this is Node \${process.version}, and hypergrad needs 20.19 or later: pack it with --node\`);
  process.exit(1);
}
const { main } = await import("./src/cli/main.mjs");
await main(process.argv.slice(2));
`;

/** `README.txt`, for whoever finds the folder on a server. */
export const readme = (about: {
  version: string;
  platform: string;
  scripts: readonly string[];
}): string => `hypergrad ${about.version}, packed for ${about.platform}

It needs a GPU driver with Vulkan, and Node 20.19 or later unless ./node is here; on Linux glibc 2.34 and the
libstdc++ of GCC 12 or later (Debian 12, Ubuntu 22.04, RHEL 10; on RHEL 9 a newer libstdc++.so.6 in LD_LIBRARY_PATH).
No network, no npm, no root.

  ./hypergrad doctor                    which adapter, and a proof that it computes
  ./hypergrad doctor --adapter hardware the same, and an error without a real GPU
  ./hypergrad doctor --adapter '?'      an error that lists the names of all adapters
  ./hypergrad run hypercleaning --help
  ./hypergrad compare toy --estimators rmd,t1t2,greedy:0.9
  ./hypergrad bench kernels --quick

"node hypergrad.mjs" does the same as ./hypergrad. Paths in flags start at the current folder.

scripts: ${about.scripts.join(", ")}

--adapter NAME     auto, hardware, software, lavapipe, swiftshader, or a part of the GPU's name
--out, --resume    where a long run writes, and that it goes on from its checkpoint
SIGTERM, SIGINT    finish the outer step, write the checkpoint, end with 143 or 130
exit codes         0 done, 1 failure, 2 wrong usage, 130 or 143 after a signal
`;
