/**
 * The debug switch for views that are read too late: with EARSHOT_POISON=1 a stale message throws ESTALE, and the
 * bytes under a stale view are overwritten with 0xdb. On in the tests; without it such a view shows whatever came next.
 */
export const poisonedViews: boolean = process.env["EARSHOT_POISON"] === "1";
