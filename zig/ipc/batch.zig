//! The memory that a context and its owner share: what one `wait` reports, and what the next one is to send.
//! It is one mapping, made with the context:
//!
//!     control   one page: what the last call left behind, and who still uses the mapping
//!     events    the records of the batch
//!     inbox     the bytes of the batch's messages
//!     outbox    runs of frames to send, written by the owner without a call
//!
//! An outbox run is a `Run`, then its frames as they go over the wire, then padding to a multiple of four.
//! Whoever maps an area holds a reference, so that a reader that outlives the context reads old bytes, not a fault.

const std = @import("std");
const event = @import("event.zig");
const frame = @import("frame.zig");
const Handle = @import("library").handle.Handle;
const assert = std.debug.assert;

pub const control_bytes = std.heap.page_size_max;

/// How many bytes one connection may deliver in one batch, so that a busy one starves nobody: the most a Unix
/// socket holds with the system's default buffers.
pub const read_bytes_max = 256 * 1024;
/// The largest message that is cut in the inbox; a larger one is received into a buffer of its own.
pub const inbox_message_bytes_max = 256 * 1024;
/// Below this much room a batch is full: a smaller read would cost more than it brings.
const inbox_room_min = 16 * 1024;
/// Records that reading and accepting leave alone, so that in every batch there is room to tell of ends, of queues that
/// have emptied and of what went out, however much comes in.
pub const report_events_min = 1023;
/// Room for a batch in which one connection sends nothing but empty messages, behind one that it had begun before.
pub const events_max = read_bytes_max / frame.header_bytes + 1 + report_events_min;

/// What poisoned bytes look like.
pub const poison_byte = 0xdb;

pub const Sizes = struct {
    inbox_bytes: u32 = 1024 * 1024,
    outbox_bytes: u32 = 1024 * 1024,

    /// A message that is carried over from the batch before must fit, with room to read more.
    pub const inbox_bytes_min = inbox_message_bytes_max + frame.header_bytes + read_bytes_max;
    pub const outbox_bytes_min = 4096;
    pub const area_bytes_max = 1 << 30;
};

/// The beginning of the control page.
pub const Control = extern struct {
    /// Users of the mapping: the context, and each area that somebody mapped.
    references: std.atomic.Value(u32) = .init(1),
    /// What the last call that failed met: the system's errno and call (`sys.Syscall`), and a number whose
    /// meaning goes with the code (a process id, a length).
    errno: i32 = 0,
    syscall: u32 = 0,
    reserved: u32 = 0,
    detail: i64 = 0,
    /// Sizes of the areas that follow the control page, each at a multiple of the page size.
    events_bytes: u64 = 0,
    inbox_bytes: u64 = 0,
    outbox_bytes: u64 = 0,
    total_bytes: u64 = 0,
    /// Who is to be closed when nobody but the context itself uses the mapping any more; 0 for nobody.
    entrusted: std.atomic.Value(u64) = .init(0),
};

/// What stands in front of the frames in the outbox. `result` is written by the call that sends the run.
pub const Run = extern struct {
    connection: Handle,
    /// Bytes of the frames that follow.
    bytes: u32,
    messages: u32,
    /// In: non-zero asks for a `message_tx` event, which carries it. Out: see `Context.flush`.
    token_or_result: i32,
};

pub const Batch = struct {
    control: *Control,
    events: []event.Event,
    inbox: []u8,
    outbox: []u8,
    events_count: u32 = 0,
    inbox_used: u32 = 0,

    pub fn init(system: anytype, sizes: Sizes) error{OutOfMemory}!Batch {
        assert(sizes.inbox_bytes >= Sizes.inbox_bytes_min and sizes.outbox_bytes >= Sizes.outbox_bytes_min);
        const page = control_bytes;
        const events_bytes = std.mem.alignForward(usize, events_max * @sizeOf(event.Event), page);
        const inbox_bytes = std.mem.alignForward(usize, sizes.inbox_bytes, page);
        const outbox_bytes = std.mem.alignForward(usize, sizes.outbox_bytes, page);
        const total_bytes = control_bytes + events_bytes + inbox_bytes + outbox_bytes;
        const memory = try system.mapPages(total_bytes);
        const control: *Control = @ptrCast(memory.ptr);
        control.* = .{
            .events_bytes = events_bytes,
            .inbox_bytes = inbox_bytes,
            .outbox_bytes = outbox_bytes,
            .total_bytes = total_bytes,
        };
        const events: [*]event.Event = @ptrCast(@alignCast(memory.ptr + control_bytes));
        return .{
            .control = control,
            .events = events[0..events_max],
            .inbox = memory[control_bytes + events_bytes ..][0..inbox_bytes],
            .outbox = memory[control_bytes + events_bytes + inbox_bytes ..][0..outbox_bytes],
        };
    }

    /// Gives up the context's reference; the memory goes with the last one.
    pub fn deinit(batch: *Batch, system: anytype) void {
        if (unreference(batch.control) == 0) system.unmapPages(memoryOf(batch.control));
        batch.* = undefined;
    }

    pub fn reference(control: *Control) void {
        _ = control.references.fetchAdd(1, .monotonic);
    }

    /// Says how many users are left; after the last one the memory is to be unmapped. May be called on any thread.
    pub fn unreference(control: *Control) u32 {
        // Release: what this user did with the memory happens before it is unmapped.
        // Acquire: whoever unmaps has seen what all others did.
        return control.references.fetchSub(1, .acq_rel) - 1;
    }

    /// The whole mapping.
    pub fn memoryOf(control: *Control) []align(std.heap.page_size_min) u8 {
        const start: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(control));
        return start[0..@intCast(control.total_bytes)];
    }

    /// Begins the next batch; with `poison`, views of the last one that are still around show it.
    pub fn reset(batch: *Batch, poison: bool) void {
        if (poison) @memset(batch.inbox[0..batch.inbox_used], poison_byte);
        batch.events_count = 0;
        batch.inbox_used = 0;
    }

    pub fn eventsLeft(batch: *const Batch) u32 {
        return @intCast(batch.events.len - batch.events_count);
    }

    /// How many of those are there for what comes in.
    pub fn eventsFree(batch: *const Batch) u32 {
        return batch.eventsLeft() -| report_events_min;
    }

    /// Whether another connection may be read into this batch, given what it carries over.
    pub fn hasRoom(batch: *const Batch, carried_bytes: usize) bool {
        return batch.inbox.len - batch.inbox_used >= carried_bytes + inbox_room_min and
            batch.eventsFree() > inbox_room_min / frame.header_bytes;
    }

    pub fn push(batch: *Batch, record: event.Event) void {
        assert(batch.events_count < batch.events.len);
        batch.events[batch.events_count] = record;
        batch.events_count += 1;
    }

    /// The record that was pushed last.
    pub fn last(batch: *Batch) *event.Event {
        return &batch.events[batch.events_count - 1];
    }

    /// The bytes of a message of this batch.
    pub fn payloadOf(batch: *const Batch, record: event.Event) []const u8 {
        if (record.flags & event.flag_loan == 0) return batch.inbox[record.offset..][0..record.length];
        const payload: [*]const u8 = @ptrFromInt(@as(usize, @intCast(record.data)));
        return payload[0..record.length];
    }

    pub fn inboxRest(batch: *Batch) []u8 {
        return batch.inbox[batch.inbox_used..];
    }
};
