/** Numbers as they are read: a few digits, and a blank between thousands. */

export function formatValue(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : 2;
  const [whole = "", fraction] = value.toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, " ");
  return fraction === undefined || Number(fraction) === 0 ? grouped : `${grouped}.${fraction}`;
}
