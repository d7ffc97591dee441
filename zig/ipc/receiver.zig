//! How messages arrive in a context: one bounded read of a connection at a time, cut into events.

const connections = @import("connection.zig");
const contexts = @import("context.zig");
const Connection = connections.Connection;

/// How many messages of one connection a batch may hold that each take a read of their own.
const reads_max = 32;

pub fn ReceiverType(comptime Context: type) type {
    return struct {
        pub fn readHot(context: *Context) void {
            const hot = context.hot;
            const count = context.hot_count;
            context.hot_count = 0;
            for (hot[0..count]) |handle| {
                const connection = context.connectionOf(handle) catch continue;
                if (connection.state != .open or connection.in_ready or connection.paused) continue;
                if (!context.batch.hasRoom(connection.inbound.partial.items.len)) break;
                if (receive(context, connection, 0)) {
                    connection.readable = true;
                    context.line(connection);
                }
            }
            // Who is silent for now stays hot until others come.
            if (context.hot_count == 0) {
                context.hot = hot;
                context.hot_count = count;
            }
        }

        /// A read ends with the message whose descriptors it brings, so that a batch would hold one message of a
        /// connection that brings some with each. When everybody has had his turn, those are read on: as long as another
        /// message of the same user's could still bring as many as it may.
        pub fn readOn(context: *Context) void {
            if (context.descriptors.arrived.items.len == 0) return;
            var left = context.ready.len;
            while (left > 0) : (left -= 1) {
                const handle = context.ready.popFront().?;
                // Everybody else stays where he is.
                context.ready.pushBackAssumeCapacity(handle);
                const connection = context.connectionOf(handle) catch continue;
                var reads: u32 = 1;
                while (connection.cut_short and mayBeRead(context, connection) and reads < reads_max) : (reads += 1)
                    connection.readable = receive(context, connection, 0);
            }
        }

        fn mayBeRead(context: *Context, connection: *const Connection) bool {
            return connection.state == .open and !connection.paused and connection.readable and
                descriptorsLeft(context, connection) >= connection.limits.descriptors_max and
                context.batch.hasRoom(connection.inbound.partial.items.len);
        }

        /// One read. Returns whether there is probably more.
        pub fn receive(context: *Context, connection: *Connection, now_ns: u64) bool {
            connection.read_number = context.batch_number;
            connection.cut_short = false;
            const takes_descriptors = connection.limits.descriptors_max > 0;
            if (takes_descriptors) context.descriptors.reserve(context.allocator) catch {
                context.end(connection, .out_of_memory, 0);
                return false;
            };
            const outcome = connection.inbound.receive(context.allocator, &context.system, connection.fd, .{
                .batch = &context.batch,
                .loans = &context.loans,
                .descriptors = &context.descriptors,
                .source = connection.handle,
                .origin = connection.origin,
                .message_bytes_max = connection.limits.message_bytes_max,
                .raw = connection.queue.raw,
                .user = connection.credentials.uid,
                .descriptors_max = connection.limits.descriptors_max,
                .descriptors_left = if (takes_descriptors) descriptorsLeft(context, connection) else 0,
            });
            if (outcome.descriptors > 0) context.descriptors.hold(connection.credentials.uid, outcome.descriptors);
            if (outcome.bytes > 0) noteReceived(context, connection, outcome.messages, outcome.bytes, now_ns);
            switch (outcome.end) {
                .none => {
                    connection.cut_short = outcome.descriptors > 0;
                    return outcome.more or connection.cut_short;
                },
                .peer_closed => {
                    // Answers to this batch's messages may follow; the end comes when they are sent.
                    connection.state = .finishing;
                    context.deadlines.clear(&connection.deadline);
                    context.attend(connection);
                    context.watch(connection);
                },
                else => |reason| context.end(connection, reason, if (reason == .system) context.system.failure.errno else 0),
            }
            return false;
        }

        fn descriptorsLeft(context: *Context, connection: *const Connection) u32 {
            return connection.limits.descriptors_held_max -| context.descriptors.heldFor(connection.credentials.uid);
        }

        fn noteReceived(context: *Context, connection: *Connection, messages: u32, bytes: u32, now_ns: u64) void {
            connection.messages_received += messages;
            connection.bytes_received += bytes;
            context.statistics.messages_received += messages;
            context.statistics.bytes_received += bytes;
            if (context.serviceOf(connection)) |service| {
                service.statistics.messages_received += messages;
                service.statistics.bytes_received += bytes;
            }
            if (messages > 0) {
                connection.batch_number = context.batch_number;
                if (context.hot_count < contexts.hot_max) {
                    context.hot[context.hot_count] = connection.handle;
                    context.hot_count += 1;
                }
            }
            noteProgress(context, connection, now_ns);
        }

        pub fn noteProgress(context: *Context, connection: *Connection, now_ns: u64) void {
            if (!connection.inbound.midMessage()) return context.deadlines.clear(&connection.deadline);
            if (connection.limits.stall_ns == 0) return;
            connection.progress_ns = if (now_ns == 0) context.system.monotonic() else now_ns;
            // The deadline is not moved with each piece; when it comes due it is set anew if there was progress.
            if (!connection.deadline.armed) context.deadlines.set(
                &connection.deadline,
                connection.handle,
                connection.progress_ns +| connection.limits.stall_ns,
            );
        }

        /// Returns false if the batch has no room for what the connection may bring.
        pub fn workConnection(context: *Context, connection: *Connection, now_ns: u64) bool {
            if (connection.state == .connecting) {
                if (context.batch.eventsFree() == 0) return false;
                if (connection.writable) context.arrive(connection);
                return true;
            }
            if (connection.writable) {
                connection.writable = false;
                if (!connection.broken and connection.queue.bytes() > 0) context.sendQueued(connection);
            }
            if (!connection.readable) return true;
            switch (connection.state) {
                .open => {},
                .connecting => unreachable, // See above.
                // All there is left to do is to send; a peer that has gone shows when that is tried.
                .finishing, .draining => {
                    connection.readable = false;
                    return true;
                },
                .ended => return true,
            }
            if (connection.paused) {
                if (!connection.hung_up) {
                    connection.readable = false;
                    return true;
                }
                // Nobody is left to wait, and what was sent is no more than the kernel holds.
                connection.paused = false;
                context.watch(connection);
                if (connection.state == .ended) return true;
            }
            if (connection.read_number == context.batch_number and context.batch.events_count > 0) {
                // It has had its share of this batch.
                context.line(connection);
                return true;
            }
            if (!context.batch.hasRoom(connection.inbound.partial.items.len)) return false;
            connection.readable = false;
            if (receive(context, connection, now_ns)) {
                connection.readable = true;
                context.line(connection);
            }
            return true;
        }
    };
}
