export interface ArchiveFile {
  name: string;
  mode: number;
  bytes: Uint8Array;
}

const block = 512;

/**
 * The regular files of a tar archive. Enough for the archives that npm packages and data sets carry: ustar or GNU
 * headers with short names; pax attributes, which would only matter for long ones, are passed over.
 *
 * @throws Error when the archive is cut short or holds an entry of another kind
 */
export function* untar(archive: Uint8Array): Generator<ArchiveFile> {
  const text = (offset: number, length: number) =>
    new TextDecoder().decode(archive.subarray(offset, offset + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + block <= archive.length && archive[at] !== 0; ) {
    const prefix = text(at + 257, 6) === "ustar" ? text(at + 345, 155) : "";
    const name = (prefix ? `${prefix}/` : "") + text(at, 100);
    const size = Number.parseInt(text(at + 124, 12), 8);
    const kind = text(at + 156, 1);
    const end = at + block + size;
    if (!(end <= archive.length)) throw new Error(`tar archive is cut short in ${name} at byte ${at}`);
    if (kind === "0" || kind === "") {
      if (name.split("/").includes("..") || name.startsWith("/"))
        throw new Error(`unsafe name in tar archive: ${name}`);
      yield { name, mode: Number.parseInt(text(at + 100, 8), 8), bytes: archive.subarray(at + block, end) };
    } else if (!"5xg".includes(kind)) {
      throw new Error(`tar archive has an entry of unknown kind "${kind}": ${name}`);
    }
    at += block + Math.ceil(size / block) * block;
  }
}
