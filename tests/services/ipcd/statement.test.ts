/** Which statements are taken: one, that reads. */

import { expect, test } from "bun:test";
import { statementFault } from "../../../src/services/ipcd/statement.ts";

test.each([
  ["select 1"],
  ["  SELECT 1 ; "],
  ["select 1;;\n;"],
  ["select 1 -- ; done"],
  ["-- first;\nselect 1 /* ; */;"],
  ["/* a */ /* b */ select 1"],
  ["select ';', \";\", `;`, [;]"],
  ["select 'it''s; fine'"],
  ['select "a"";"'],
  ["values(1)"],
  ["with x as (select 1) select * from x"],
  ["explain query plan select 1"],
  ["select '/*'; -- '"],
  ["select 1 /* no end ;"],
])("%j", (statement) => {
  expect(statementFault(statement)).toBeUndefined();
});

test.each([
  ["", "there is no statement"],
  [" ;; ", "there is no statement"],
  ["-- nothing", "there is no statement"],
  ["select 1; select 2", "one statement at a time"],
  ["select 1;;select 2", "one statement at a time"],
  ["select '/*'; attach 'x' as y /*'*/", "one statement at a time"],
  ["select '--'; select 2", "one statement at a time"],
  ["select 1 /* ' */; select 2 -- '", "one statement at a time"],
  ["select 1\0; select 2", "a statement has no zero byte in it"],
  ["attach '/etc/passwd' as p", "only SELECT, VALUES, WITH and EXPLAIN are answered"],
  ["pragma query_only = off", "only SELECT"],
  ["vacuum into '/root/x'", "only SELECT"],
  ["insert into rules values (1)", "only SELECT"],
  ["/* select */ delete from rules", "only SELECT"],
  ["'select' 1", "only SELECT"],
  ["selects 1", "only SELECT"],
])("%j is refused", (statement, why) => {
  expect(statementFault(statement)).toStartWith(why);
});
