import { spawn } from "node:child_process";

/** What a program prints on stdout; its stderr is shown as it comes. */
export function capture(program: string, args: readonly string[]): Promise<{ code: number; stdout: string }> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, stdout }));
  });
}
