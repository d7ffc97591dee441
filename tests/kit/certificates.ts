/** Certificates for tests, made by the command `openssl` in a directory of the test's own. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Pair = { readonly cert: string; readonly key: string };

type Wanted = {
  /** As in a certificate: `DNS:localhost,IP:127.0.0.1`. */
  readonly names?: string;
  /** Until when it is valid; less than none is in the past. */
  readonly days?: number;
};

/** An authority, with the paths of what it has issued. */
export class Authority {
  readonly cert: string;
  readonly #key: string;
  readonly #folder: string;

  constructor(folder: string, name = "authority") {
    this.#folder = folder;
    this.cert = join(folder, `${name}.pem`);
    this.#key = join(folder, `${name}.key`);
    newKey(this.#key);
    const extension = "basicConstraints=critical,CA:TRUE";
    openssl(
      "req",
      "-x509",
      "-new",
      "-key",
      this.#key,
      "-subj",
      `/CN=${name}`,
      "-days",
      "2",
      "-addext",
      extension,
      "-out",
      this.cert,
    );
  }

  issue(
    name: string,
    { names = "DNS:localhost,IP:127.0.0.1,IP:::1", days = 2 }: Wanted = {},
  ): Pair {
    const [cert, key, request, extensions] = ["pem", "key", "csr", "ext"].map((ending) =>
      join(this.#folder, `${name}.${ending}`),
    ) as [string, string, string, string];
    newKey(key);
    writeFileSync(extensions, `subjectAltName=${names}\n`);
    openssl("req", "-new", "-key", key, "-subj", `/CN=${name}`, "-out", request);
    openssl(
      "x509",
      "-req",
      "-in",
      request,
      "-CA",
      this.cert,
      "-CAkey",
      this.#key,
      "-CAcreateserial",
      "-days",
      String(days),
      "-extfile",
      extensions,
      "-out",
      cert,
    );
    return { cert, key };
  }

  get text(): string {
    return readFileSync(this.cert, "utf8");
  }
}

/** One that nobody vouches for. */
export function selfSigned(folder: string, name: string): Pair {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  newKey(key);
  openssl(
    "req",
    "-x509",
    "-new",
    "-key",
    key,
    "-subj",
    `/CN=${name}`,
    "-days",
    "2",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
    "-out",
    cert,
  );
  return { cert, key };
}

function newKey(path: string): void {
  openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path);
  // It is made with the mode that everybody's files have.
  Bun.spawnSync(["chmod", "600", path]);
}

function openssl(...words: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...words]);
  if (exitCode !== 0) throw new Error(`openssl ${words.join(" ")}: ${stderr}`);
}
