/**
 * Runs before any test file. The switch that poisons stale views is read when the library loads,
 * so it is set here, and every process that a test starts inherits it.
 */

process.env["EARSHOT_POISON"] ??= "1";
