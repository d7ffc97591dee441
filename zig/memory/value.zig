//! A message that is too long for a ring: memory of its own, whose descriptor goes over the socket, and whose bytes can
//! change no more when it does.

const std = @import("std");
const sys = @import("sys");

/// Maps `bytes` bytes that came from elsewhere. They are the caller's own to read and to write.
pub fn open(system: *sys.System, fd: sys.Fd, bytes: usize) (sys.shared.CheckError || sys.shared.MapError)![]align(std.heap.page_size_min) u8 {
    try sys.shared.check(system, fd, bytes, .bytes);
    const pages = try sys.shared.mapPrivate(system, fd, bytes);
    if (sys.shared.seals_bytes) return pages;
    // Whoever sent them may still write to them, and what was read once must stay what it was.
    defer sys.shared.unmap(system, pages);
    const own = try system.mapPages(std.mem.alignForward(usize, bytes, std.heap.pageSize()));
    @memcpy(own[0..bytes], pages);
    return own[0..bytes];
}

test "a value has the bytes that it was made of" {
    var system: sys.System = .{};
    const fd = try sys.shared.createHolding(&system, "a long one");
    defer system.close(fd);
    const pages = try open(&system, fd, 10);
    defer sys.shared.unmap(&system, pages);
    try std.testing.expectEqualStrings("a long one", pages);
    try std.testing.expectError(error.WrongSize, open(&system, fd, 9));
}

test "one whose bytes could still change is refused where the system can tell" {
    if (!sys.shared.seals_bytes) return;
    var system: sys.System = .{};
    const fd = try sys.shared.create(&system, 10);
    defer system.close(fd);
    try std.testing.expectError(error.NotSealed, open(&system, fd, 10));
}
