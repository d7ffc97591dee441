/**
 * A client's session: its copy of the passwords, and the vault that keeps them beyond it, if there is one. What is changed
 * is in the vault when `save` has returned.
 */

import type { PasswordsOptions } from "../../services/passwords/client.ts";
import { Passwords } from "../../services/passwords/client.ts";
import { deriveKeys, newSalt } from "../../services/passwords/derive.ts";
import { keyBytes, keyText, wipe } from "../../services/passwords/store.ts";
import { Vault, VaultError } from "../../services/passwords/vault.ts";
import type { Outcome, Verb } from "./commands.ts";
import { commandOf } from "./commands.ts";

const nothing = new Uint8Array(0);

export type SessionOptions = PasswordsOptions & {
  /** The caller's to overwrite. */
  readonly passphrase: Uint8Array | undefined;
  readonly vault: string | undefined;
};

export class Session implements Disposable {
  readonly #passwords: Passwords;
  readonly #vault: Vault | undefined;
  #isChanged = false;

  private constructor(passwords: Passwords, vault: Vault | undefined) {
    this.#passwords = passwords;
    this.#vault = vault;
  }

  /** Throws a VaultError for a vault that cannot be opened, before the service is asked for anything. */
  static async open(options: SessionOptions): Promise<Session> {
    const { passphrase, vault: path } = options;
    using opened = new DisposableStack();
    const vault = path === undefined ? undefined : opened.use(Vault.open(path, passphrase!));
    const passwords = opened.use(await Passwords.open(options));
    if (vault !== undefined) passwords.seal(vault.sessionKey);
    else if (passphrase !== undefined) sealUnder(passwords, passphrase);
    if (vault?.entries !== undefined) fill(passwords, vault.entries);
    opened.move();
    return new Session(passwords, vault);
  }

  /** Throws a PasswordsError for what cannot be done. */
  run(verb: Verb, key: Uint8Array = nothing, value: Uint8Array = nothing): Outcome {
    const command = commandOf(verb);
    const outcome = command.run(this.#passwords, key, value);
    this.#isChanged ||= command.changes === true;
    return outcome;
  }

  /** Throws a VaultError, and a PasswordsError if the copy is gone. */
  save(): void {
    if (this.#vault === undefined || !this.#isChanged) return;
    const entries = new Map<string, Uint8Array>();
    try {
      for (const key of this.#passwords.keyset()) {
        entries.set(keyText(key), this.#passwords.get(key));
      }
      this.#vault.save(entries);
      this.#isChanged = false;
    } catch (error) {
      if (error instanceof VaultError && error.kept) this.#isChanged = false;
      throw error;
    } finally {
      wipe(entries.values());
    }
  }

  /** Whether something is not in the vault that should be. */
  get unsaved(): boolean {
    return this.#vault !== undefined && this.#isChanged;
  }

  [Symbol.dispose](): void {
    this.#vault?.[Symbol.dispose]();
    this.#passwords.close();
  }
}

/** What is kept goes with the session, and so does the salt. */
function sealUnder(passwords: Passwords, passphrase: Uint8Array): void {
  const keys = deriveKeys(passphrase, newSalt());
  try {
    passwords.seal(keys.session);
  } finally {
    wipe(Object.values(keys));
  }
}

/** A vault holds all that its client has: initial keys that are not in it were deleted. */
function fill(passwords: Passwords, entries: ReadonlyMap<string, Uint8Array>): void {
  try {
    for (const key of passwords.keyset()) {
      if (!entries.has(keyText(key))) passwords.delete(key);
    }
    for (const [key, value] of entries) passwords.set(keyBytes(key), value);
  } finally {
    wipe(entries.values());
  }
}
