/** What the command `service` can start. A service is loaded when it is asked for, and no other with it. */

import type { Startable } from "./startable.ts";

const catalog: Readonly<Record<string, () => Promise<{ service: Startable }>>> = {
  hello: () => import("./hello.ts"),
  httpd: () => import("./httpd.ts"),
  ipcd: () => import("./ipcd.ts"),
  passwords: () => import("./passwords.ts"),
  pong: () => import("./pong.ts"),
  tcpd: () => import("./tcpd.ts"),
  tlsd: () => import("./tlsd.ts"),
  udpd: () => import("./udpd.ts"),
  websocketd: () => import("./websocketd.ts"),
};

export const serviceNames: readonly string[] = Object.keys(catalog);

/** Undefined if there is none of that name. */
export async function loadService(name: string): Promise<Startable | undefined> {
  if (!Object.hasOwn(catalog, name)) return undefined;
  return (await catalog[name]!()).service;
}
