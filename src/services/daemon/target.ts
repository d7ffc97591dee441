/** What a request of HTTP is for, where services have paths: `/NAME`, as it stands in the request. */

/** For whoever asked for another path. */
export const pathRule = "a path is / or /NAME, where NAME is that of a service, as it is";

/**
 * The name in a URL for which Bun has found no route, of none of `services`; undefined if it is no such path. Bun
 * compares what stands in the request, and shows us what that comes to: `/a/../pong` is no `/pong`.
 */
export function strayName(
  url: string,
  services: { has(name: string): boolean },
): string | undefined {
  const path = url.replace(/^[a-z]+:\/\/[^/?#]*/, "").replace(/[?#].*$/, "");
  const name = /^\/([A-Za-z0-9_-][A-Za-z0-9._-]*)$/.exec(path)?.[1];
  return name === undefined || services.has(name) ? undefined : name;
}
