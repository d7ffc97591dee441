//! What a call returns when it fails: the code that is called like the error. One that has none does not compile. Where
//! libearshot-ipc has the same code, the number is the same.

const library = @import("library");
const seal = @import("seal");

/// Every error that any operation can end with.
pub const Error = seal.session.WriteError || seal.session.ReadError || seal.session.SealError ||
    seal.session.OpenError || error{ Closed, InUse, OutOfMemory, HandleLimit, NoRandomness };

/// Results are `i32`: a value from 0 up, or one of these.
pub const Code = enum(i32) {
    ok = 0,
    /// An argument is out of its range, or memory overlaps that may not.
    invalid_argument = -1,
    /// The handle is stale.
    closed = -2,
    /// Another thread is in a call with the same handle.
    in_use = -3,
    out_of_memory = -4,
    /// The process holds as many sealed connections as it can name.
    handle_limit = -6,
    /// The message is over the most that there can be.
    message_too_long = -10,
    /// What is to be written has no room where it is to go.
    no_room = -60,
    /// It is not what the peer has sent, or not the next, or the peer has other keys.
    not_authentic = -61,
    /// It is shorter than anything that the peer can have sent.
    too_short = -62,
    /// It has met something before that it should not have, and does nothing any more.
    failed = -63,
    /// It is not the time for that: the handshake is over, or is not, or it is the peer's turn.
    wrong_step = -64,
    /// A public key with which everybody would agree on the same secret.
    weak_key = -65,
    /// The two ends have no cipher in common.
    no_common_suite = -66,
    /// The peer speaks a version that this one does not know.
    version_unknown = -67,
    /// All numbers of one direction are used up.
    exhausted = -68,
    /// The system has no random bytes for us.
    no_randomness = -69,
};

pub fn of(failure: Error) i32 {
    return switch (failure) {
        inline else => |known| @intFromEnum(library.code.named(Code, known)),
    };
}
