/** What the tables hold the rows of each suite against. */

export interface Reference {
  title: string;
  /** The row to compare the row `id` with. */
  of: (id: string) => string;
}

const spinning = ["unix-sync-spin", "floor-unix-spin"];

/** Of what goes through shared memory, the plain program that does the same. */
const memoryFloors: Record<string, string> = {
  "memory-spin": "floor-memory-spin",
  "memory-sealed-spin": "floor-memory-spin",
  "memory-sleep": "floor-futex",
  "memory-async": "floor-memory-spin",
  "memory-serve": "floor-memory-spin",
  "memory-stream": "floor-memcpy",
  "memory-sealed-stream": "floor-memcpy",
};

/** Of each row by a bridge, what does the same without one. */
const direct: Record<string, string> = {
  "tcpd-rtt": "direct-tcp-rtt",
  "socat-rtt": "direct-tcp-rtt",
  "haproxy-rtt": "direct-tcp-rtt",
  "tcpd-stream": "direct-tcp-stream",
  "socat-stream": "direct-tcp-stream",
  "haproxy-stream": "direct-tcp-stream",
  "socat-tuned-stream": "direct-tcp-stream",
  "haproxy-tuned-stream": "direct-tcp-stream",
  "websocketd-rtt": "bun-serve-ws-rtt",
  "websocketd-stream": "bun-serve-ws-stream",
  httpd: "bun-serve-http",
  "httpd-ordered": "bun-serve-http",
};

/** Where the difference to a row counts, and not the ratio: what a bridge adds. */
export const added: Record<string, { title: string; of: (id: string) => string }> = {
  bridge: { title: "adds µs", of: (id) => direct[id] ?? "" },
};

export const references: Record<string, readonly Reference[]> = {
  rtt: [
    {
      title: "× floor",
      of: (id) => (spinning.includes(id) ? "floor-unix-spin" : "floor-unix-sleep"),
    },
    { title: "× bun-listen", of: () => "bun-listen" },
  ],
  stream: [
    { title: "× floor", of: () => "floor-unix-stream" },
    { title: "× bun-listen-stream", of: () => "bun-listen-stream" },
  ],
  memory: [
    { title: "× floor", of: (id) => memoryFloors[id] ?? "" },
    { title: "× bun-listen", of: () => "bun-listen" },
  ],
  descriptors: [{ title: "× floor", of: (id) => `floor-${id.replace("floor-", "")}` }],
  bridge: [{ title: "× direct", of: (id) => direct[id] ?? "" }],
  connections: [{ title: "× with one", of: (id) => id.replace("10000", "1") }],
};
