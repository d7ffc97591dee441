/** Options of a command or a service: how each is shown in its help, and what it makes of the text it is given. */

export type Option<Value = unknown> = {
  /** What stands for its value in the help; a switch has none. */
  readonly placeholder: string | undefined;
  readonly help: string;
  /** Its value is two words: given as such, or as one with a blank in it. They are read with a blank between. */
  readonly pair?: true;
  /**
   * What the text means. Throws a UsageError that says what would do. `place` tells which option came before which, for
   * those whose order counts.
   */
  read(text: string, place: number): Value;
};

/** One that may be given more than once. */
export type Repeatable<Value = unknown> = Option<Value> & { readonly repeatable: true };

/** By their names on the command line. */
export type Options = Readonly<Record<string, Option>>;

/** What those options have as values; undefined, or an empty list, for one that was not given. */
export type Values<Given extends Options> = {
  readonly [Name in keyof Given]: Given[Name] extends Repeatable<infer Value>
    ? readonly Value[]
    : Given[Name] extends Option<infer Value>
      ? Value | undefined
      : never;
};

/** The command line cannot be understood; the message says which part, and what would do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export function flag(help: string): Option<true> {
  return { placeholder: undefined, help, read: () => true };
}

export function text(placeholder: string, help: string): Option<string> {
  return { placeholder, help, read: (given) => given };
}

/** A whole number. Whether it goes together with the others is for whoever gets it to say. */
export function count(placeholder: string, help: string): Option<number> {
  return {
    placeholder,
    help,
    read(given) {
      const number = Number(given);
      if (/^[0-9]+$/.test(given) && Number.isSafeInteger(number)) return number;
      throw new UsageError(`"${given}" is not a whole number`);
    },
  };
}

/** The same option, but one that may be given more than once. */
export function repeated<Value>(option: Option<Value>): Repeatable<Value> {
  return { ...option, help: `${option.help}; may be repeated`, repeatable: true };
}

export function choice<const Choice extends string>(
  placeholder: string,
  choices: readonly Choice[],
  help: string,
): Option<Choice> {
  return {
    placeholder,
    help: `${help}: ${choices.join(", ")}`,
    read(given) {
      const found = choices.find((one) => one === given);
      if (found !== undefined) return found;
      throw new UsageError(`"${given}" is none of ${choices.join(", ")}`);
    },
  };
}
