//! The C face of rings: making them, mapping them, writing into them and reading from them. What the functions mean is
//! documented in `earshot/memory.h`.

const std = @import("std");
const memory = @import("memory");
const sys = @import("sys");
const codes = @import("code.zig");
const ring = memory.ring;

/// A message where it lies in the ring.
pub const Message = extern struct {
    payload: [*]const u8,
    length: u32,
    kind: ring.Kind,
};

pub fn create(ring_bytes: u32) callconv(.c) i32 {
    if (!ring.validBytes(ring_bytes)) return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    return ring.create(&system, ring_bytes) catch |failure| codes.of(failure);
}

pub fn map(descriptor: sys.Fd, ring_bytes: u32, out: ?*u64) callconv(.c) i32 {
    const address = out orelse return codes.of(error.InvalidArgument);
    if (!ring.validBytes(ring_bytes)) return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    const pages = ring.open(&system, descriptor, ring_bytes) catch |failure| return codes.of(failure);
    address.* = @intFromPtr(pages.ptr);
    return 0;
}

pub fn unmap(place: ?ring.Place, ring_bytes: u32) callconv(.c) i32 {
    const pages = place orelse return codes.of(error.InvalidArgument);
    if (!ring.validBytes(ring_bytes)) return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    sys.shared.unmap(&system, pages[0..ring.mappedBytes(ring_bytes)]);
    return 0;
}

pub fn sleep(word: ?*const u32, expected: u32, timeout_ns: i64) callconv(.c) void {
    sys.shared.sleep(word orelse return, expected, @intCast(@max(0, timeout_ns)));
}

pub fn wake(word: ?*const u32) callconv(.c) void {
    sys.shared.wake(word orelse return);
}

threadlocal var yielder: ?sys.Yielder = null;

pub fn yield() callconv(.c) i32 {
    var system: sys.System = .{};
    if (yielder == null) yielder = .init(&system);
    const own = &yielder.?;
    if (own.needless) return 0;
    const now_ns = system.monotonic();
    if (!own.mayLook(now_ns)) return 3;
    const after_ns = own.yield(&system, now_ns) orelse return 2;
    if (!own.mayLook(after_ns)) return 3;
    return if (own.gap_ns > 0) 2 else 1;
}

pub fn writerBegin(out: ?*ring.Writer, place: ?ring.Place, ring_bytes: u32) callconv(.c) i32 {
    const writer = out orelse return codes.of(error.InvalidArgument);
    const pages = place orelse return codes.of(error.InvalidArgument);
    if (!ring.validBytes(ring_bytes)) return codes.of(error.InvalidArgument);
    writer.* = .init(pages, ring_bytes);
    return 0;
}

pub fn reserve(given: ?*ring.Writer, payload_bytes: u32, out: ?*?[*]u8) callconv(.c) i32 {
    const writer = given orelse return codes.of(error.InvalidArgument);
    const room = out orelse return codes.of(error.InvalidArgument);
    if (payload_bytes > ring.payloadBytesMax(writer.ring_bytes)) return codes.of(error.MessageTooLong);
    const found = writer.reserve(payload_bytes) catch |failure| return codes.of(failure);
    room.* = if (found) |bytes| bytes.ptr else null;
    return @intFromBool(found != null);
}

pub fn commit(given: ?*ring.Writer, payload_bytes: u32, kind: ring.Kind) callconv(.c) i32 {
    const writer = given orelse return codes.of(error.InvalidArgument);
    if (payload_bytes > ring.payloadBytesMax(writer.ring_bytes)) return codes.of(error.MessageTooLong);
    writer.commit(payload_bytes, kind);
    return 0;
}

/// Who sleeps on a word is woken; how to wake anybody else is for the caller to know.
pub fn publish(given: ?*ring.Writer) callconv(.c) i32 {
    const writer = given orelse return codes.of(error.InvalidArgument);
    const rest = writer.publish();
    if (rest == .word) writer.wake();
    return @intFromBool(rest == .poller);
}

pub fn awaitRoom(given: ?*ring.Writer, payload_bytes: u32, timeout_ns: i64) callconv(.c) i32 {
    const writer = given orelse return codes.of(error.InvalidArgument);
    if (payload_bytes > ring.payloadBytesMax(writer.ring_bytes)) return codes.of(error.MessageTooLong);
    writer.sleep(payload_bytes, @intCast(@max(0, timeout_ns))) catch |failure| return codes.of(failure);
    return 0;
}

pub fn readerBegin(out: ?*ring.Reader, place: ?ring.Place, ring_bytes: u32) callconv(.c) i32 {
    const reader = out orelse return codes.of(error.InvalidArgument);
    const pages = place orelse return codes.of(error.InvalidArgument);
    if (!ring.validBytes(ring_bytes)) return codes.of(error.InvalidArgument);
    reader.* = .init(pages, ring_bytes);
    return 0;
}

pub fn next(given: ?*ring.Reader, out: ?*Message) callconv(.c) i32 {
    const reader = given orelse return codes.of(error.InvalidArgument);
    const message = out orelse return codes.of(error.InvalidArgument);
    const found = reader.next() catch |failure| return codes.of(failure);
    const one = found orelse return 0;
    message.* = .{ .payload = one.payload.ptr, .length = @intCast(one.payload.len), .kind = one.kind };
    return 1;
}

pub fn release(given: ?*ring.Reader) callconv(.c) i32 {
    const reader = given orelse return codes.of(error.InvalidArgument);
    const rest = reader.release();
    if (rest == .word) reader.wake();
    return @intFromBool(rest == .poller);
}

pub fn awaitMessage(given: ?*ring.Reader, timeout_ns: i64) callconv(.c) i32 {
    const reader = given orelse return codes.of(error.InvalidArgument);
    reader.sleep(@intCast(@max(0, timeout_ns))) catch |failure| return codes.of(failure);
    return 0;
}
