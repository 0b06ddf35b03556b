if (!("Deno" in globalThis)) throw new Error("these tests are to run in Deno, and this is another runtime");
