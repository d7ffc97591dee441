//! What can go wrong in the fake, and how often it does in one run.
//!
//! Each run draws its own mixture: about half of the faults never happen in it, the others seldom or often. A run in
//! which everything fails all the time would never get far enough to find anything.

const std = @import("std");

pub const Fault = enum {
    // The system does less than it could.
    short_read,
    short_write,
    read_blocked,
    write_blocked,
    accept_blocked,
    // The system fails.
    read_failed,
    write_failed,
    reset,
    accept_limit,
    accept_failed,
    credentials_failed,
    rights_crowded,
    watch_failed,
    rewatch_failed,
    wait_failed,
    allocation_failed,
    // The poller tells late, little, too much or nothing.
    readiness_delayed,
    readiness_cut,
    readiness_spurious,
    wait_interrupted,
    // The outside does something in the middle of a call.
    meanwhile,

    /// Faults that end a connection, or something greater, are rare even where they happen: a conversation is to
    /// get somewhere first.
    fn chanceMax(fault: Fault) u16 {
        return switch (fault) {
            .short_read, .short_write, .read_blocked, .write_blocked, .accept_blocked => 1 << 15,
            .readiness_delayed, .readiness_cut, .readiness_spurious, .wait_interrupted, .meanwhile => 1 << 15,
            .read_failed, .write_failed, .reset => 1 << 8,
            .accept_limit, .accept_failed, .credentials_failed, .rights_crowded => 1 << 12,
            .watch_failed, .rewatch_failed, .wait_failed, .allocation_failed => 1 << 10,
        };
    }
};

/// How often each fault happens, in 1/65536.
pub const Faults = struct {
    chances: std.EnumArray(Fault, u16) = .initFill(0),

    pub fn draw(random: std.Random) Faults {
        var faults: Faults = .{};
        // One run in eight is calm: what holds there must not depend on anything going wrong.
        if (random.uintLessThan(u8, 8) == 0) return faults;
        for (std.enums.values(Fault)) |fault| {
            if (random.boolean()) continue;
            const rarity: u4 = random.uintLessThan(u4, 7);
            faults.chances.set(fault, fault.chanceMax() >> rarity);
        }
        return faults;
    }

    pub fn happens(faults: *const Faults, random: std.Random, fault: Fault) bool {
        const chance = faults.chances.get(fault);
        return chance > 0 and random.int(u16) < chance;
    }
};

/// A mistake put into the fake on purpose, to see that a run notices it.
pub const Planted = enum {
    /// A byte that was sent never arrives.
    byte_dropped,
    /// A byte arrives as another.
    byte_changed,
    /// The end of what was read is read once more.
    bytes_repeated,
    /// The poller forgets a descriptor that it was told to watch.
    readiness_lost,
    /// The poller never sleeps.
    sleepless,
    /// Closing closes nothing.
    descriptor_leaked,
    /// The clock of contexts runs ahead.
    clock_ahead,
    /// The kernel claims to have taken a byte more than it has.
    send_overstated,
    /// One of the descriptors that came with a message is not there.
    rights_swallowed,
    /// Descriptors come with a later read than they should, and so with another message.
    rights_late,
    /// Descriptors come that nobody sent.
    rights_changed,
};
