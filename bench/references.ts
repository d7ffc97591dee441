/** What the tables hold the rows of each suite against. */

export interface Reference {
  title: string;
  /** The row to compare the row `id` with. */
  of: (id: string) => string;
}

const spinning = ["unix-sync-spin", "floor-unix-spin"];

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
  connections: [{ title: "× with one", of: (id) => id.replace("10000", "1") }],
};
