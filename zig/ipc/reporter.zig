//! What a context reports that is no message: what is due, what went out, what emptied, what ended.

const batches = @import("batch.zig");
const connections = @import("connection.zig");
const Connection = connections.Connection;

/// So much is worked off at once of what is due, and the rest in the next batch: timers are not to keep messages out.
const due_max = 4096;
/// What is due takes no more of the records that are kept for reports than half.
const due_events_left_min = batches.report_events_min / 2;

pub fn ReporterType(comptime Context: type) type {
    return struct {
        pub fn workDue(context: *Context, now_ns: u64) void {
            var left: u32 = due_max;
            while (left > 0 and context.batch.eventsLeft() > due_events_left_min) : (left -= 1) {
                const due = context.deadlines.popDue(now_ns) orelse return;
                switch (context.table.get(due.handle).?) {
                    .timer => |timer| fire(context, timer, due.at_ns, now_ns),
                    .connection => |connection| expire(context, connection, now_ns),
                    .service => |service| context.resumeAccepting(service, now_ns),
                    .external, .bound => unreachable, // They have no deadline.
                }
            }
        }

        fn fire(context: *Context, timer: *Context.Timer, due_ns: u64, now_ns: u64) void {
            var periods: u64 = 1;
            if (timer.period_ns > 0) periods += (now_ns - due_ns) / timer.period_ns;
            context.batch.push(.{ .type = .timer, .source = timer.handle, .data = periods });
            if (timer.period_ns == 0) return context.endTimer(timer);
            context.deadlines.set(&timer.deadline, timer.handle, due_ns +| periods *| timer.period_ns);
        }

        fn expire(context: *Context, connection: *Connection, now_ns: u64) void {
            const stalled_at_ns = connection.progress_ns +| connection.limits.stall_ns;
            // It may have been this side that was away, so a last look shows whose fault it is.
            if (connection.state == .draining) {
                context.sendQueued(connection);
                context.end(connection, .closed, 0);
            } else if (stalled_at_ns > now_ns) {
                context.deadlines.set(&connection.deadline, connection.handle, stalled_at_ns);
            } else if (!context.batch.hasRoom(connection.inbound.partial.items.len)) {
                context.deadlines.set(&connection.deadline, connection.handle, now_ns +| 1);
            } else {
                if (context.receive(connection, now_ns)) {
                    connection.readable = true;
                    context.line(connection);
                }
                if (connection.state == .open and connection.inbound.midMessage() and connection.progress_ns != now_ns)
                    context.end(connection, .stalled, 0);
            }
        }

        pub fn workAttention(context: *Context) void {
            var left = context.attention.len;
            while (left > 0) : (left -= 1) {
                const handle = context.attention.popFront() orelse return;
                const connection = context.connectionOf(handle) catch continue;
                connection.in_attention = false;
                if (!report(context, connection)) {
                    // The others come first in the next: one that sends much is not to keep their ends from being told.
                    return context.attend(connection);
                }
            }
        }

        /// Returns false if the batch has no room for all there is to report.
        fn report(context: *Context, connection: *Connection) bool {
            const handle = connection.handle;
            while (context.batch.eventsLeft() > 2) {
                const sent = connection.popReport(context.allocator) orelse break;
                context.batch.push(.{
                    .type = .message_tx,
                    .source = handle,
                    .origin = connection.origin,
                    .length = sent.length,
                    .data = @as(u32, @bitCast(sent.token)),
                });
            } else return false;
            if (connection.drained and connection.state != .ended) {
                connection.drained = false;
                context.batch.push(.{
                    .type = .drain,
                    .source = handle,
                    .origin = connection.origin,
                    .data = connection.queue.bytes(),
                });
            }
            switch (connection.state) {
                .connecting, .open => {},
                .draining => if (connection.queue.bytes() == 0) context.end(connection, .closed, 0),
                .finishing => if (connection.batch_number == context.batch_number) {
                    // Its messages are in this very batch; they can be answered before the next.
                    context.attend(connection);
                } else if (connection.queue.bytes() == 0 or connection.broken) {
                    context.end(connection, if (connection.messages_lost > 0) .peer_reset else .peer_closed, 0);
                },
                .ended => {},
            }
            if (connection.state != .ended) return true;
            if (context.batch.eventsLeft() == 0) return false;
            context.batch.push(.{
                .type = .disconnection,
                .reason = connection.end_reason,
                .source = handle,
                .origin = connection.origin,
                .detail = connection.end_errno,
                .length = connection.messages_lost,
                .data = connection.bytes_lost,
            });
            context.table.remove(handle);
            connection.destroy(context.allocator);
            return true;
        }
    };
}
