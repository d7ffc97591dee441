//! A sealed connection as C sees it: a handle, and results below zero that are codes. Each function is the thin shape
//! of one in `session.zig`; what they mean is documented in `earshot/seal.h`.

const std = @import("std");
const library = @import("library");
const seal_module = @import("seal");
const sys = @import("sys");
const codes = @import("code.zig");
const argument = library.argument;
const Handle = library.handle.Handle;
const Key = seal_module.handshake.Key;
const Limits = seal_module.direction.Limits;
const Session = seal_module.Session;
const Suite = seal_module.Suite;
const Set = seal_module.suite.Set;
const Role = seal_module.handshake.Role;
const key_bytes = seal_module.handshake.key_bytes;
const allocator = std.heap.c_allocator;

const Registry = seal_module.registry.RegistryType(Session);

var registry: Registry = .{};

/// One message of a batch: where it is, and where it is to go.
pub const Record = extern struct {
    in_offset: u32,
    in_bytes: u32,
    out_offset: u32,
    kind: u32,
};

pub fn suites() callconv(.c) u32 {
    return seal_module.cipher.offered().number();
}

pub fn choose(one: u32, other: u32) callconv(.c) i32 {
    const first: Set = .from(@truncate(one));
    const second: Set = .from(@truncate(other));
    const found = seal_module.suite.choose(first, second, &seal_module.suite.preference) orelse
        return codes.of(error.NoCommonSuite);
    return @intFromEnum(found);
}

pub fn publicKey(secret: ?*const Key, out: ?*Key) callconv(.c) i32 {
    const from = secret orelse return codes.of(error.InvalidArgument);
    const into = out orelse return codes.of(error.InvalidArgument);
    into.* = seal_module.handshake.publicKey(from) catch |failure| return codes.of(failure);
    return 0;
}

pub fn begin(
    role: u32,
    secret: ?*const Key,
    remote_public: ?*const Key,
    prologue: ?[*]const u8,
    prologue_bytes: u32,
    offered: u32,
) callconv(.c) i32 {
    return codeOr(tryBegin(role, secret, remote_public, prologue, prologue_bytes, offered));
}

fn tryBegin(
    role: u32,
    secret: ?*const Key,
    remote_public: ?*const Key,
    prologue: ?[*]const u8,
    prologue_bytes: u32,
    offered: u32,
) codes.Error!i32 {
    var ephemeral: Key = undefined;
    try sys.random.fill(&ephemeral);
    defer std.crypto.secureZero(u8, &ephemeral);
    var session: Session = try .init(.{
        .role = std.enums.fromInt(Role, role) orelse return error.InvalidArgument,
        .static = secret orelse return error.InvalidArgument,
        .remote_static = remote_public orelse return error.InvalidArgument,
        .prologue = try argument.list(u8, prologue, prologue_bytes),
        .ephemeral = &ephemeral,
        .suites = if (offered == 0) seal_module.cipher.offered() else .from(@truncate(offered)),
    });
    defer std.crypto.secureZero(u8, std.mem.asBytes(&session));
    return try keep(&session);
}

pub fn fromKeys(
    suite: u32,
    sending: ?*const Key,
    receiving: ?*const Key,
    records_per_key: u32,
    bytes_per_key: i64,
) callconv(.c) i32 {
    return codeOr(tryFromKeys(suite, sending, receiving, records_per_key, bytes_per_key));
}

fn tryFromKeys(
    suite: u32,
    sending: ?*const Key,
    receiving: ?*const Key,
    records_per_key: u32,
    bytes_per_key: i64,
) codes.Error!i32 {
    const known = if (suite > std.math.maxInt(u8)) null else std.enums.fromInt(Suite, @as(u8, @intCast(suite)));
    var keys: seal_module.handshake.Keys = .{
        .sending = (sending orelse return error.InvalidArgument).*,
        .receiving = (receiving orelse return error.InvalidArgument).*,
    };
    defer keys.wipe();
    var limits: Limits = .{};
    if (bytes_per_key < 0) return error.InvalidArgument;
    if (records_per_key > 0) limits.records_per_key = @min(limits.records_per_key, records_per_key);
    if (bytes_per_key > 0) limits.bytes_per_key = @min(limits.bytes_per_key, @as(u64, @intCast(bytes_per_key)));
    var session: Session = .initKeys(known orelse return error.InvalidArgument, &keys, limits);
    defer std.crypto.secureZero(u8, std.mem.asBytes(&session));
    return try keep(&session);
}

fn keep(session: *const Session) error{ OutOfMemory, HandleLimit }!i32 {
    const slot = try registry.add(allocator);
    slot.object = session.*;
    return @intCast(Registry.put(slot).number());
}

pub fn write(
    handle: u32,
    payload: ?[*]const u8,
    payload_bytes: u32,
    out: ?[*]u8,
    out_bytes: u32,
) callconv(.c) i32 {
    return codeOr(tryOne(.write, handle, 0, payload, payload_bytes, out, out_bytes));
}

pub fn read(
    handle: u32,
    message: ?[*]const u8,
    message_bytes: u32,
    out: ?[*]u8,
    out_bytes: u32,
) callconv(.c) i32 {
    return codeOr(tryOne(.read, handle, 0, message, message_bytes, out, out_bytes));
}

pub fn suiteOf(handle: u32) callconv(.c) i32 {
    const slot = registry.take(.from(handle)) catch |failure| return codes.of(failure);
    defer _ = Registry.put(slot);
    return if (slot.object.suiteOf()) |suite| @intFromEnum(suite) else codes.of(error.WrongStep);
}

pub fn seal(
    handle: u32,
    kind: u32,
    bytes: ?[*]const u8,
    bytes_count: u32,
    out: ?[*]u8,
    out_bytes: u32,
) callconv(.c) i32 {
    return codeOr(tryOne(.seal, handle, kind, bytes, bytes_count, out, out_bytes));
}

pub fn open(
    handle: u32,
    kind: u32,
    record: ?[*]const u8,
    record_bytes: u32,
    out: ?[*]u8,
    out_bytes: u32,
) callconv(.c) i32 {
    return codeOr(tryOne(.open, handle, kind, record, record_bytes, out, out_bytes));
}

pub fn sealBatch(
    handle: u32,
    in: ?[*]const u8,
    in_bytes: u32,
    out: ?[*]u8,
    out_bytes: u32,
    records: ?[*]const Record,
    count: u32,
) callconv(.c) i32 {
    return codeOr(tryBatch(.seal, handle, in, in_bytes, out, out_bytes, records, count));
}

pub fn openBatch(
    handle: u32,
    in: ?[*]const u8,
    in_bytes: u32,
    out: ?[*]u8,
    out_bytes: u32,
    records: ?[*]const Record,
    count: u32,
) callconv(.c) i32 {
    return codeOr(tryBatch(.open, handle, in, in_bytes, out, out_bytes, records, count));
}

/// What is done with bytes: a message of the handshake written or read, or another sealed or opened.
const Way = enum { write, read, seal, open };

fn tryOne(
    comptime way: Way,
    handle: u32,
    kind: u32,
    bytes: ?[*]const u8,
    bytes_count: u32,
    out: ?[*]u8,
    out_bytes: u32,
) codes.Error!i32 {
    const given = try argument.list(u8, bytes, bytes_count);
    const room = try space(out, out_bytes);
    const kind_number = try kindOf(kind);
    const slot = try registry.take(.from(handle));
    defer _ = Registry.put(slot);
    return @intCast(try apply(way, &slot.object, kind_number, given, room));
}

/// Returns how many were done. What is wrong with one is told by itself, when all before it have been delivered: it
/// is the first of another call then, or an opener that has failed.
fn tryBatch(
    comptime way: Way,
    handle: u32,
    in: ?[*]const u8,
    in_bytes: u32,
    out: ?[*]u8,
    out_bytes: u32,
    records: ?[*]const Record,
    count: u32,
) codes.Error!i32 {
    const from = try argument.list(u8, in, in_bytes);
    const into = try space(out, out_bytes);
    const list = try argument.list(Record, records, count);
    const slot = try registry.take(.from(handle));
    defer _ = Registry.put(slot);
    for (list, 0..) |shared, done| {
        // Read once: it may lie where somebody else can write.
        const record = shared;
        const result = applyTo(way, &slot.object, from, into, record);
        if (result) |_| continue else |failure| {
            if (done == 0) return failure;
            return @intCast(done);
        }
    }
    return @intCast(list.len);
}

fn applyTo(
    comptime way: Way,
    session: *Session,
    from: []const u8,
    into: []u8,
    record: Record,
) codes.Error!usize {
    const kind = try kindOf(record.kind);
    if (record.in_offset > from.len or record.in_bytes > from.len - record.in_offset) return error.InvalidArgument;
    if (record.out_offset > into.len) return error.InvalidArgument;
    return apply(way, session, kind, from[record.in_offset..][0..record.in_bytes], into[record.out_offset..]);
}

fn apply(comptime way: Way, session: *Session, kind: u8, bytes: []const u8, room: []u8) codes.Error!usize {
    return switch (way) {
        .write => session.write(bytes, room),
        .read => session.read(bytes, room),
        .seal => session.seal(kind, bytes, room),
        .open => session.open(kind, bytes, room),
    };
}

pub fn close(handle: u32) callconv(.c) i32 {
    const slot = registry.take(.from(handle)) catch |failure| return codes.of(failure);
    slot.object.deinit();
    std.crypto.secureZero(u8, std.mem.asBytes(&slot.object));
    registry.remove(slot);
    return 0;
}

pub fn anchor(handle: u32, out: ?*?*const anyopaque) callconv(.c) i32 {
    const into = out orelse return codes.of(error.InvalidArgument);
    const slot = registry.take(.from(handle)) catch |failure| return codes.of(failure);
    defer _ = Registry.put(slot);
    into.* = &slot.handle;
    return 0;
}

pub fn release(_: ?*const anyopaque, context: ?*const anyopaque) callconv(.c) void {
    const number = @intFromPtr(context);
    if (number <= std.math.maxInt(u32)) _ = close(@intCast(number));
}

/// What is written to; nothing needs no memory.
fn space(out: ?[*]u8, out_bytes: u32) error{InvalidArgument}![]u8 {
    if (out) |first| return first[0..out_bytes];
    return if (out_bytes == 0) &.{} else error.InvalidArgument;
}

fn kindOf(kind: u32) error{InvalidArgument}!u8 {
    return if (kind > std.math.maxInt(u8)) error.InvalidArgument else @intCast(kind);
}

fn codeOr(result: codes.Error!i32) i32 {
    return result catch |failure| codes.of(failure);
}

comptime {
    std.debug.assert(key_bytes == @sizeOf(Key));
}
