/** A package registry on this machine that has the tarballs of a folder, and nothing else: no network is needed. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

type Manifest = { name: string; version: string };

export class Registry implements AsyncDisposable {
  /** The names that were asked for and are not there. */
  readonly missed: string[] = [];
  readonly #server: Bun.Server<undefined>;
  readonly #documents: ReadonlyMap<string, unknown>;

  static async open(folder: string): Promise<Registry> {
    const tarballs = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
    const manifests = await Promise.all(tarballs.map((name) => manifestIn(join(folder, name))));
    return new Registry(folder, new Map(manifests.map((each, at) => [tarballs[at]!, each])));
  }

  private constructor(folder: string, manifests: ReadonlyMap<string, Manifest>) {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => {
        const name = decodeURIComponent(new URL(url).pathname.slice(1));
        if (manifests.has(name)) return new Response(Bun.file(join(folder, name)));
        const document = this.#documents.get(name);
        if (document !== undefined) return Response.json(document);
        this.missed.push(name);
        return Response.json({ error: "Not found" }, { status: 404 });
      },
    });
    const documents = [...manifests].map(([tarball, manifest]) => {
      const { name, version } = manifest;
      const hash = new Bun.CryptoHasher("sha512").update(readFileSync(join(folder, tarball)));
      const dist = {
        tarball: `${this.url}${tarball}`,
        integrity: `sha512-${hash.digest("base64")}`,
      };
      const versions = { [version]: { ...manifest, dist } };
      return [name, { name, "dist-tags": { latest: version }, versions }] as const;
    });
    this.#documents = new Map(documents);
  }

  get url(): string {
    return this.#server.url.href;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

async function manifestIn(tarball: string): Promise<Manifest> {
  const path = "package/package.json";
  const files = await new Bun.Archive(readFileSync(tarball)).files(path);
  return JSON.parse(await files.get(path)!.text()) as Manifest;
}
