//! One wait: what is ready is worked off, then traffic is looked for, then the poller is slept in.
//!
//!     send ─▶ collect ─▶ anything? ─▶ look for a bounded time ─▶ sleep in the poller ─▶ collect
//!                           │ yes             │ found                                    │
//!                           └─────────────────┴──────────── the batch is filled ◀────────┘
//!
//! Looking is done only while it has been worth it: `spin_credit` falls with each vain look, and is filled again by
//! traffic that came about as soon as a look would have found it. An idle context never looks.

const std = @import("std");
const accept_max = @import("acceptor.zig").accept_max;
const batches = @import("batch.zig");
const connections = @import("connection.zig");
const contexts = @import("context.zig");
const SendError = contexts.SendError;
const WaitError = contexts.WaitError;
const Handle = @import("library").handle.Handle;

/// After so many batches that were filled without asking the poller, it is asked: others may have become ready.
const unpolled_batches_max = 8;
/// While spinning, the poller is asked once in so many rounds of reading the hot connections.
const spin_rounds_per_poll = 16;
/// How many waits in a row may spin in vain before the context stops spinning.
const spin_credit_max = 4;

pub fn WaitType(comptime Context: type) type {
    return struct {
        /// Sends the outbox, waits for up to `timeout_ns` (for ever if negative) until there is something to
        /// report, and returns how many events the batch now holds. Everything of the batch before is gone.
        /// `spin_ns` says how long to look before sleeping; negative leaves it to the context.
        pub fn wait(
            context: *Context,
            timeout_ns: i64,
            spin_ns: i64,
            outbox_bytes: u32,
            comptime code: fn (SendError) i32,
        ) WaitError!u32 {
            try context.check();
            context.releaseLoans();
            context.descriptors.closeArrived(&context.system);
            context.batch.reset(context.options.poison);
            context.batch_number += 1;
            context.woken = false;
            try context.sendOutbox(outbox_bytes, code);
            context.sendUnsent();

            const start_ns = clock(context, timeout_ns > 0);
            collect(context, start_ns);
            // Whoever goes to sleep at once would only find out that nothing is there yet.
            if (context.batch.events_count == 0 and timeout_ns == 0) context.readHot();
            if (context.unheard or context.unpolled_batches >= unpolled_batches_max or
                (context.batch.events_count == 0 and timeout_ns == 0)) poll(context, 0) catch |failure| {
                // What the batch holds already would be lost; a failure that lasts shows in a later wait.
                if (context.batch.events_count == 0) return failure;
            };
            collect(context, start_ns);
            if (context.batch.events_count == 0 and timeout_ns != 0) try lookOrSleep(context, timeout_ns, spin_ns);
            context.readOn();
            context.unpolled_batches += 1;
            return context.batch.events_count;
        }

        /// The time, or 0 where nothing depends on it: the clock is a good part of what a short wait costs.
        fn clock(context: *Context, needed: bool) u64 {
            return if (needed or context.nextDeadline() != null) context.system.monotonic() else 0;
        }

        fn lookOrSleep(context: *Context, timeout_ns: i64, spin_ns: i64) WaitError!void {
            const learns = context.options.spin_ns > 0;
            const spin: u64 = if (spin_ns >= 0)
                @intCast(spin_ns)
            else if (context.spin_credit > 0) context.options.spin_ns else 0;
            const timed = timeout_ns > 0 or spin > 0 or learns;
            const start_ns = clock(context, timed);
            const deadline_ns = if (timeout_ns < 0) std.math.maxInt(u64) else start_ns +| @as(u64, @intCast(timeout_ns));
            var now_ns = start_ns;
            if (spin > 0 and context.yielder.mayLook(start_ns)) {
                if (try look(context, @min(start_ns +| spin, deadline_ns))) {
                    context.spin_credit = spin_credit_max;
                    return;
                }
                context.spin_credit -|= 1;
                now_ns = context.system.monotonic();
            }
            while (context.batch.events_count == 0 and !context.woken and now_ns < deadline_ns) {
                const until_ns = @min(deadline_ns, context.nextDeadline() orelse std.math.maxInt(u64));
                // What was collected may have brought the first deadline.
                if (now_ns == 0) now_ns = clock(context, timed);
                try poll(context, if (until_ns == std.math.maxInt(u64)) null else until_ns -| now_ns);
                now_ns = clock(context, timed);
                collect(context, now_ns);
            }
            // Traffic that came about as soon as looking would have found it makes looking worth it again.
            if (learns and context.hot_count > 0 and now_ns - start_ns <= 2 * context.options.spin_ns)
                context.spin_credit = spin_credit_max;
        }

        /// Looks for traffic until `until_ns` without sleeping, and says whether there was any.
        fn look(context: *Context, looks_until_ns: u64) WaitError!bool {
            var until_ns = looks_until_ns;
            var rounds: u32 = 0;
            while (true) : (rounds += 1) {
                context.readHot();
                if (context.batch.events_count > 0) return true;
                if (context.hot_count == 0 or rounds % spin_rounds_per_poll == spin_rounds_per_poll - 1) {
                    try poll(context, 0);
                }
                const now_ns = context.system.monotonic();
                collect(context, now_ns);
                if (context.batch.events_count > 0 or context.woken) return true;
                if (now_ns >= until_ns) return false;
                const after_ns = context.yielder.yield(&context.system, now_ns) orelse {
                    std.atomic.spinLoopHint();
                    continue;
                };
                if (context.yielder.mayLook(after_ns)) continue;
                // What came meanwhile is looked for once more.
                until_ns = 0;
                rounds = spin_rounds_per_poll - 2;
            }
        }

        /// Asks the poller and puts what is ready in line.
        fn poll(context: *Context, timeout_ns: ?u64) WaitError!void {
            context.unpolled_batches = 0;
            context.unheard = false;
            // What stands in line already is not waited for.
            const wait_ns = if (context.ready.len > 0) 0 else timeout_ns;
            const count = context.poller.wait(&context.poll_buffer, wait_ns) catch return error.Unexpected;
            for (context.poll_buffer[0..count]) |ready| {
                if (ready.token == contexts.poller_token_wake) {
                    context.wake.clear();
                    context.woken = true;
                    continue;
                }
                const handle: Handle = .from(@truncate(ready.token));
                switch (context.table.get(handle) orelse continue) {
                    .connection => |connection| {
                        if (connection.state == .ended) continue;
                        connection.readable = connection.readable or ready.readable or ready.ended;
                        connection.writable = connection.writable or ready.writable or ready.ended;
                        connection.hung_up = connection.hung_up or ready.ended;
                        context.line(connection);
                    },
                    .service => |service| context.line(service),
                    .external => |external| context.line(external),
                    .bound => |bound| {
                        const end = &bound.ends[@as(u1, @intCast(ready.token >> 32))];
                        end.readable = end.readable or ready.readable or ready.ended;
                        end.hung_up = end.hung_up or ready.ended;
                        context.line(bound);
                    },
                    .timer => {},
                }
            }
        }

        /// Turns what is known into events, as far as the batch has room. What is due has its turn first and what is to
        /// be told has room of its own: those who send without pause would else keep the batch full, and every timer
        /// late.
        fn collect(context: *Context, now_ns: u64) void {
            context.workDue(now_ns);
            context.sendCrowded(now_ns);
            workReady(context, now_ns);
            context.workAttention();
        }

        fn workReady(context: *Context, now_ns: u64) void {
            var left = context.ready.len;
            if (left > 0) context.hot_count = 0;
            while (left > 0) : (left -= 1) {
                const handle = context.ready.popFront() orelse break;
                switch (context.table.get(handle) orelse continue) {
                    .connection => |connection| {
                        connection.in_ready = false;
                        if (!context.workConnection(connection, now_ns)) return context.lineAgain(connection);
                    },
                    .service => |service| {
                        service.in_ready = false;
                        if (service.paused) continue;
                        if (context.batch.eventsFree() < accept_max) return context.lineAgain(service);
                        context.accept(service, now_ns);
                    },
                    .external => |external| {
                        external.in_ready = false;
                        if (context.batch.eventsFree() == 0) return context.lineAgain(external);
                        context.batch.push(.{ .type = .external, .source = handle, .detail = external.fd });
                    },
                    .bound => |bound| {
                        bound.in_ready = false;
                        if (!context.workSwitch(bound)) return context.lineAgain(bound);
                    },
                    .timer => {},
                }
            }
        }
    };
}
