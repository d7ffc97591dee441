//! Memory that two processes share: nameless, of a size that nobody can change any more, and known by its descriptor,
//! which goes from one to the other. Nothing of it is left when both have let go of it.
//!
//!     create ──descriptor──▶ the other process ──▶ check ──▶ map
//!
//! What is not sealed could be cut short by its other owner, and the next access here would end the process (SIGBUS):
//! `check` refuses it. Linux has memfd_create(2) with seals; FreeBSD the same under other names; on macOS an object of
//! shm_open(2) that is unlinked at once, whose size is set once and for all.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys.zig");
const posix = @import("posix.zig");
const c = std.c;

const Fd = sys.Fd;
const System = sys.System;
const Pages = []align(std.heap.page_size_min) u8;

pub const CreateError = error{ DescriptorLimit, OutOfMemory, Unexpected };
pub const CheckError = error{
    /// It is no such memory, or could still change its size or, where that was asked for, its bytes.
    NotSealed,
    /// It is, but not of that size.
    WrongSize,
    Unexpected,
};
pub const MapError = sys.MapError || error{
    /// It can only be read, or only be written, by its seals or by how its descriptor was opened.
    NotSealed,
};

/// What can change no more.
pub const Seal = enum {
    /// Its size.
    size,
    /// Its bytes as well, where the system can see to that (`seals_bytes`).
    bytes,
};

/// Whether the system can hold others to `Seal.bytes`. Elsewhere bytes that must stay as they are have to be copied.
pub const seals_bytes = builtin.os.tag == .linux or builtin.os.tag == .freebsd;

/// Zeroed memory of so many bytes, whose size is sealed.
pub fn create(system: *System, bytes: usize) CreateError!Fd {
    const fd = try sized(system, bytes);
    errdefer system.close(fd);
    try seal(system, fd, .size);
    return fd;
}

/// Memory that holds these bytes for good.
pub fn createHolding(system: *System, bytes: []const u8) CreateError!Fd {
    const fd = try sized(system, bytes.len);
    errdefer system.close(fd);
    if (bytes.len > 0) {
        const pages = map(system, fd, bytes.len) catch |failure| return switch (failure) {
            error.OutOfMemory => error.OutOfMemory,
            // It is our own, and has no seals yet.
            error.NotSealed => error.Unexpected,
        };
        @memcpy(pages[0..bytes.len], bytes);
        unmap(system, pages);
    }
    try seal(system, fd, .bytes);
    return fd;
}

fn sized(system: *System, bytes: usize) CreateError!Fd {
    const fd = open();
    if (fd < 0) return switch (system.record(.memfd_create)) {
        .MFILE, .NFILE => error.DescriptorLimit,
        .NOMEM, .NOSPC => error.OutOfMemory,
        else => error.Unexpected,
    };
    errdefer system.close(fd);
    if (c.ftruncate(fd, std.math.cast(c.off_t, bytes) orelse return error.OutOfMemory) == 0) return fd;
    return switch (system.record(.ftruncate)) {
        .NOMEM, .NOSPC, .FBIG, .INVAL => error.OutOfMemory,
        else => error.Unexpected,
    };
}

/// Says whether `fd` is sealed memory of `bytes` bytes, which is all that keeps whoever sent it from harming us.
pub fn check(system: *System, fd: Fd, bytes: usize, sealed: Seal) CheckError!void {
    if (seals_bytes) {
        const wanted = sealsOf(sealed);
        const found = c.fcntl(fd, get_seals);
        // What cannot be sealed says EINVAL.
        if (found < 0) return switch (system.record(.fcntl)) {
            .INVAL => error.NotSealed,
            else => error.Unexpected,
        };
        if (found & wanted != wanted) return error.NotSealed;
    }
    const stat = system.statFd(fd) catch return error.Unexpected;
    // An object of shm_open has no kind of its own, and cannot be resized.
    if (!seals_bytes and stat.kind != .other) return error.NotSealed;
    if (stat.bytes != bytes) return error.WrongSize;
}

/// The memory behind `fd`, which whoever else has it sees and changes as well.
pub fn map(system: *System, fd: Fd, bytes: usize) MapError!Pages {
    return mapAt(system, null, fd, 0, bytes, .SHARED);
}

/// The same for reading, as it is at the time: changes made here are nobody else's.
pub fn mapPrivate(system: *System, fd: Fd, bytes: usize) MapError!Pages {
    return mapAt(system, null, fd, 0, bytes, .PRIVATE);
}

/// The memory behind `fd`, with all but its first `head` bytes a second time behind its end, so that what goes round
/// there lies in one piece. `head` and `rest` are multiples of the page size.
pub fn mapRound(system: *System, fd: Fd, head: usize, rest: usize) MapError!Pages {
    const pages = try system.mapPages(head + 2 * rest);
    errdefer system.unmapPages(pages);
    _ = try mapAt(system, pages.ptr, fd, 0, head + rest, .SHARED);
    _ = try mapAt(system, @alignCast(pages.ptr + head + rest), fd, head, rest, .SHARED);
    return pages;
}

/// For what any of the three has mapped, by its whole length.
pub fn unmap(system: *System, pages: Pages) void {
    system.unmapPages(pages);
}

fn mapAt(
    system: *System,
    place: ?[*]align(std.heap.page_size_min) u8,
    fd: Fd,
    offset: usize,
    bytes: usize,
    kind: @FieldType(c.MAP, "TYPE"),
) MapError!Pages {
    var flags: c.MAP = .{ .TYPE = kind };
    flags.FIXED = place != null;
    const pages = c.mmap(@ptrCast(place), bytes, .{ .READ = true, .WRITE = true }, flags, fd, @intCast(offset));
    if (pages == c.MAP_FAILED) {
        return switch (system.record(.mmap)) {
            .PERM, .ACCES => error.NotSealed,
            else => error.OutOfMemory,
        };
    }
    return @as([*]align(std.heap.page_size_min) u8, @ptrCast(@alignCast(pages)))[0..bytes];
}

// ---- sleeping on a word of it ----

/// Sleeps until somebody, here or in the other process, calls `wake` for `word`; not at all if it is not `expected` any
/// more. May return early, and does at the latest after `timeout_ns`.
pub fn sleep(word: *const u32, expected: u32, timeout_ns: u64) void {
    switch (builtin.os.tag) {
        .linux => {
            const timeout: std.os.linux.timespec = .{
                .sec = @intCast(timeout_ns / std.time.ns_per_s),
                .nsec = @intCast(timeout_ns % std.time.ns_per_s),
            };
            _ = std.os.linux.futex_4arg(word, .{ .cmd = .WAIT, .private = false }, expected, &timeout);
        },
        .macos => {
            // 0 would be for ever.
            const timeout_us: u32 = @intCast(std.math.clamp(timeout_ns / std.time.ns_per_us, 1, std.math.maxInt(u32)));
            _ = c.__ulock_wait(.{ .op = .COMPARE_AND_WAIT_SHARED, .NO_ERRNO = true }, word, expected, timeout_us);
        },
        .freebsd => {
            var timeout: c._umtx_time = .{
                .timeout = .{
                    .sec = @intCast(timeout_ns / std.time.ns_per_s),
                    .nsec = @intCast(timeout_ns % std.time.ns_per_s),
                },
                .flags = 0,
                .clockid = .MONOTONIC,
            };
            _ = c._umtx_op(@intFromPtr(word), @intFromEnum(c.UMTX_OP.WAIT_UINT), expected, @sizeOf(c._umtx_time), @intFromPtr(&timeout));
        },
        else => comptime unreachable,
    }
}

/// Wakes all who sleep on `word`.
pub fn wake(word: *const u32) void {
    switch (builtin.os.tag) {
        .linux => _ = std.os.linux.futex_3arg(word, .{ .cmd = .WAKE, .private = false }, std.math.maxInt(i32)),
        .macos => _ = c.__ulock_wake(.{ .op = .COMPARE_AND_WAIT_SHARED, .NO_ERRNO = true, .WAKE_ALL = true }, word, 0),
        .freebsd => _ = c._umtx_op(@intFromPtr(word), @intFromEnum(c.UMTX_OP.WAKE), std.math.maxInt(i32), 0, 0),
        else => comptime unreachable,
    }
}

// ---- each system's own ----

fn open() Fd {
    switch (builtin.os.tag) {
        // Not the C library's: it has had this only since glibc 2.27, and we run on older ones.
        .linux => return @intCast(sys.platform.result(std.os.linux.memfd_create(
            "earshot",
            std.os.linux.MFD.CLOEXEC | std.os.linux.MFD.ALLOW_SEALING,
        ))),
        .freebsd => return freebsd.shm_open2(freebsd.anonymous, freebsd.flags, 0, freebsd.allow_sealing, null),
        .macos => return openUnlinked(),
        else => comptime unreachable,
    }
}

/// Names are tried until one is free, and the one that is found is gone again at once.
fn openUnlinked() Fd {
    while (true) {
        var number: [8]u8 = undefined;
        c.arc4random_buf(&number, number.len);
        var name: [32]u8 = undefined;
        const path = std.fmt.bufPrintSentinel(&name, "/earshot.{x}", .{number}, 0) catch unreachable;
        const flags: c.O = .{ .ACCMODE = .RDWR, .CREAT = true, .EXCL = true, .CLOEXEC = true };
        const fd = c.shm_open(path, @bitCast(flags), @as(c_uint, 0o600));
        if (fd >= 0) {
            _ = c.shm_unlink(path);
            return fd;
        }
        if (posix.lastError() != .EXIST) return fd;
    }
}

const freebsd = struct {
    /// sys/mman.h: SHM_ANON, SHM_ALLOW_SEALING; sys/fcntl.h: O_RDWR, O_CREAT, O_CLOEXEC.
    const anonymous: ?*const anyopaque = @ptrFromInt(1);
    const allow_sealing = 1;
    const flags = 0x2 | 0x200 | 0x100000;

    /// sys/mman.h. Since FreeBSD 13.
    extern "c" fn shm_open2(path: ?*const anyopaque, flags: c_int, mode: c.mode_t, shmflags: c_int, name: ?[*:0]const u8) c_int;
};

/// linux/fcntl.h; sys/fcntl.h of FreeBSD, which took over the bits and not the numbers.
const add_seals: c_int = if (builtin.os.tag == .linux) 1033 else 19;
const get_seals: c_int = if (builtin.os.tag == .linux) 1034 else 20;

fn sealsOf(what: Seal) c_int {
    const seal_itself = 1;
    const shrink = 2;
    const grow = 4;
    const write = 8;
    const size = seal_itself | shrink | grow;
    return switch (what) {
        .size => size,
        .bytes => size | write,
    };
}

fn seal(system: *System, fd: Fd, what: Seal) CreateError!void {
    if (!seals_bytes) return;
    if (c.fcntl(fd, add_seals, sealsOf(what)) == 0) return;
    _ = system.record(.fcntl);
    return error.Unexpected;
}

test "what is created has its size, which nobody can change any more, and no name" {
    var system: System = .{};
    const fd = try create(&system, 65_536);
    defer system.close(fd);
    try check(&system, fd, 65_536, .size);
    try std.testing.expectError(error.WrongSize, check(&system, fd, 65_535, .size));
    if (seals_bytes) try std.testing.expectError(error.NotSealed, check(&system, fd, 65_536, .bytes));
    try std.testing.expect(c.ftruncate(fd, 0) != 0);
    try std.testing.expect(c.ftruncate(fd, 1 << 20) != 0);
    const flags = c.fcntl(fd, c.F.GETFD);
    try std.testing.expect(flags & c.FD_CLOEXEC != 0);
}

test "what one mapping writes the other reads, and bytes that go round lie in one piece" {
    var system: System = .{};
    const head = 65_536;
    const rest = 65_536;
    const fd = try create(&system, head + rest);
    defer system.close(fd);
    const one = try mapRound(&system, fd, head, rest);
    defer unmap(&system, one);
    const other = try map(&system, fd, head + rest);
    defer unmap(&system, other);
    @memcpy(one[head + rest - 3 ..][0..6], "abcdef");
    try std.testing.expectEqualStrings("def", other[head..][0..3]);
    try std.testing.expectEqualStrings("abc", other[head + rest - 3 ..]);
}

test "bytes that are held stay as they are" {
    var system: System = .{};
    const fd = try createHolding(&system, "for good");
    defer system.close(fd);
    try check(&system, fd, 8, .bytes);
    const pages = try mapPrivate(&system, fd, 8);
    defer unmap(&system, pages);
    try std.testing.expectEqualStrings("for good", pages[0..8]);
    // Whoever reads may use it as memory of his own.
    pages[0] = 'F';
    if (seals_bytes) {
        try std.testing.expectError(error.NotSealed, map(&system, fd, 8));
        try std.testing.expect(c.write(fd, "x", 1) < 0);
    }
    const nothing = try createHolding(&system, "");
    defer system.close(nothing);
    try check(&system, nothing, 0, .bytes);
}

test "what is no such memory is refused" {
    var system: System = .{};
    const socket = try system.socket();
    defer system.close(socket);
    try std.testing.expectError(error.NotSealed, check(&system, socket, 0, .size));
    try std.testing.expectError(error.Unexpected, check(&system, -1, 0, .size));
    if (!seals_bytes) return;
    const open_ended = try sized(&system, 4096);
    defer system.close(open_ended);
    try std.testing.expectError(error.NotSealed, check(&system, open_ended, 4096, .size));
}

test "without descriptors or memory it says so" {
    var system: System = .{};
    try std.testing.expectError(error.OutOfMemory, create(&system, std.math.maxInt(usize)));
    try std.testing.expectError(error.OutOfMemory, map(&system, -1, 4096));
    const limit: @import("suite.zig").DescriptorLimit = try .lower();
    defer limit.restore();
    try std.testing.expectError(error.DescriptorLimit, create(&system, 4096));
}

test "who sleeps on a word is woken by another thread, and not kept by a word that has changed" {
    var word: std.atomic.Value(u32) = .init(0);
    sleep(&word.raw, 1, std.time.ns_per_s * 3600);
    sleep(&word.raw, 0, 1000);
    const other = try std.Thread.spawn(.{}, struct {
        fn run(shared: *std.atomic.Value(u32)) void {
            shared.store(1, .seq_cst);
            wake(&shared.raw);
        }
    }.run, .{&word});
    while (word.load(.seq_cst) == 0) sleep(&word.raw, 0, std.time.ns_per_s * 3600);
    other.join();
}
