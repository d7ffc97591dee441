//! The objects that C programs name by handles: any thread may hold one, and each is used by one
//! thread at a time.
//!
//! Everything hangs on one word of a slot. While its object rests, the word is the object's handle,
//! and whoever wants it puts 0 there instead; so a handle that is stale, and one that another thread
//! is using, find nothing, and the usual call takes one exchange and one store and no lock.
//!
//!     free  --add-->  in use (0)  --put-->  resting (handle)  --take-->  in use (0)  --remove-->  free

const std = @import("std");
const handles = @import("library").handle;
const Handle = handles.Handle;

const slots_per_chunk = 64;
const chunks_max = handles.handles_max / slots_per_chunk;

pub fn RegistryType(comptime Object: type) type {
    return struct {
        /// Chunks never move and are never freed: a slot may be looked at by anybody at any time.
        chunks: [chunks_max]std.atomic.Value(?*Chunk) = @splat(.init(null)),
        /// What follows is read and written only by who holds it.
        lock: std.atomic.Value(bool) = .init(false),
        slots: u32 = 0,
        /// Slots to use again, the oldest first; they are linked by `next_free`.
        free_first: u32 = none,
        free_last: u32 = none,
        free_count: u32 = 0,

        const Registry = @This();
        const Chunk = [slots_per_chunk]Slot;
        const none = std.math.maxInt(u32);

        pub const Slot = struct {
            word: std.atomic.Value(u32) = .init(0),
            /// The handle of the object, or 0: it tells one in use from one that is gone.
            handle: std.atomic.Value(u32) = .init(0),
            generation: u32 = 0,
            next_free: u32 = none,
            object: Object = undefined,
        };

        /// A slot in use, whose object is to be made; then it is `put`, or `remove`d again.
        pub fn add(registry: *Registry, allocator: std.mem.Allocator) error{ OutOfMemory, HandleLimit }!*Slot {
            registry.enter();
            defer registry.leave();
            const index = if (registry.free_count < handles.quarantine_min and registry.slots < handles.handles_max)
                try registry.grow(allocator)
            else
                registry.takeFree() orelse return error.HandleLimit;
            const slot = registry.at(index).?;
            slot.generation = if (slot.generation == handles.generation_max) 1 else slot.generation + 1;
            slot.handle.store(Handle.pack(index, slot.generation).number(), .monotonic);
            return slot;
        }

        pub fn take(registry: *Registry, handle: Handle) error{ Closed, InUse }!*Slot {
            const number = handle.number();
            if (handle == .none) return error.Closed;
            const slot = registry.at(handle.index()) orelse return error.Closed;
            // Pairs with the release in `put`: what the last user did to the object is seen.
            if (slot.word.cmpxchgStrong(number, 0, .acquire, .monotonic) == null) return slot;
            return if (slot.handle.load(.monotonic) == number) error.InUse else error.Closed;
        }

        /// The object rests; the handle is for whoever is to use it next.
        pub fn put(slot: *Slot) Handle {
            const number = slot.handle.load(.monotonic);
            slot.word.store(number, .release);
            return .from(number);
        }

        /// Its object is gone, and its handle stale.
        pub fn remove(registry: *Registry, slot: *Slot) void {
            const index = Handle.from(slot.handle.load(.monotonic)).index();
            slot.handle.store(0, .monotonic);
            registry.enter();
            defer registry.leave();
            slot.next_free = none;
            if (registry.free_count == 0) registry.free_first = index else registry.at(registry.free_last).?.next_free = index;
            registry.free_last = index;
            registry.free_count += 1;
        }

        fn at(registry: *Registry, index: u32) ?*Slot {
            // Pairs with the release in `grow`: who sees the chunk sees its slots.
            const chunk = registry.chunks[index / slots_per_chunk].load(.acquire) orelse return null;
            return &chunk[index % slots_per_chunk];
        }

        fn grow(registry: *Registry, allocator: std.mem.Allocator) error{OutOfMemory}!u32 {
            const index = registry.slots;
            if (index % slots_per_chunk == 0) {
                const chunk = try allocator.create(Chunk);
                for (chunk) |*slot| slot.* = .{};
                registry.chunks[index / slots_per_chunk].store(chunk, .release);
            }
            registry.slots += 1;
            return index;
        }

        fn takeFree(registry: *Registry) ?u32 {
            if (registry.free_count == 0) return null;
            const index = registry.free_first;
            registry.free_first = registry.at(index).?.next_free;
            registry.free_count -= 1;
            return index;
        }

        /// For tests: a process keeps its chunks to its end.
        fn deinit(registry: *Registry, allocator: std.mem.Allocator) void {
            for (&registry.chunks) |*chunk| if (chunk.load(.monotonic)) |found| allocator.destroy(found);
        }

        /// Held for some instructions, or for one allocation in `slots_per_chunk` uses: nobody sleeps for it.
        fn enter(registry: *Registry) void {
            while (registry.lock.swap(true, .acquire)) std.Thread.yield() catch std.atomic.spinLoopHint();
        }

        fn leave(registry: *Registry) void {
            registry.lock.store(false, .release);
        }
    };
}

const testing = std.testing;

test "a handle finds its object until it is removed, and never another's" {
    var registry: RegistryType(u32) = .{};
    defer registry.deinit(testing.allocator);
    var found: [200]Handle = undefined;
    for (&found, 0..) |*handle, value| {
        const slot = try registry.add(testing.allocator);
        slot.object = @intCast(value);
        handle.* = RegistryType(u32).put(slot);
    }
    for (found, 0..) |handle, value| {
        const slot = try registry.take(handle);
        try testing.expectEqual(value, slot.object);
        // One user at a time.
        try testing.expectError(error.InUse, registry.take(handle));
        try testing.expectEqual(handle, RegistryType(u32).put(slot));
    }
    registry.remove(try registry.take(found[7]));
    try testing.expectError(error.Closed, registry.take(found[7]));
    try testing.expectError(error.Closed, registry.take(.none));
}

test "a stale handle stays stale over many reuses" {
    var registry: RegistryType(u32) = .{};
    defer registry.deinit(testing.allocator);
    const stale = RegistryType(u32).put(try registry.add(testing.allocator));
    registry.remove(try registry.take(stale));
    for (0..100_000) |_| {
        const handle = RegistryType(u32).put(try registry.add(testing.allocator));
        try testing.expect(handle != stale);
        try testing.expect(handle.number() < 1 << 31);
        try testing.expectError(error.Closed, registry.take(stale));
        registry.remove(try registry.take(handle));
    }
    try testing.expectEqual(handles.quarantine_min, registry.slots);
}

test "threads that make, use and end objects at once stay out of each other's" {
    const Registry = RegistryType(usize);
    var registry: Registry = .{};
    const allocator = std.heap.smp_allocator;
    defer registry.deinit(allocator);
    const work = struct {
        fn run(shared: *Registry, own: usize, faults: *std.atomic.Value(u32)) void {
            var mine: [50]Handle = undefined;
            for (0..200) |_| {
                for (&mine) |*handle| {
                    const slot = shared.add(allocator) catch return;
                    slot.object = own;
                    handle.* = Registry.put(slot);
                }
                for (mine) |handle| {
                    const slot = shared.take(handle) catch {
                        _ = faults.fetchAdd(1, .monotonic);
                        continue;
                    };
                    if (slot.object != own) _ = faults.fetchAdd(1, .monotonic);
                    shared.remove(slot);
                }
            }
        }
    };
    var faults: std.atomic.Value(u32) = .init(0);
    var threads: [4]std.Thread = undefined;
    for (&threads, 1..) |*thread, own| thread.* = try .spawn(.{}, work.run, .{ &registry, own, &faults });
    for (threads) |thread| thread.join();
    try testing.expectEqual(0, faults.load(.monotonic));
}

test "no memory: adding fails and changes nothing" {
    var registry: RegistryType(u32) = .{};
    try testing.expectError(error.OutOfMemory, registry.add(testing.failing_allocator));
    try testing.expectEqual(0, registry.slots);
    try testing.expect(!registry.lock.load(.monotonic));
}
