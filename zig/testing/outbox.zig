//! Runs of frames that an actor writes into its outbox, as JavaScript does, and what the context said of each.
//! Now and then a run is written wrongly, as only a mistake of the host could.

const std = @import("std");
const ipc = @import("ipc");
const Actor = @import("actor.zig").Actor;
const Payload = @import("payload.zig").Payload;
const Side = @import("side.zig").Side;
const Run = ipc.batch.Run;
const SendError = ipc.context.SendError;

const runs_max = 4;
const messages_max = 6;

pub const Outbox = struct {
    runs: [runs_max]Composed = undefined,
    count: usize = 0,
    bytes: u32 = 0,

    pub const bytes_max = 64 * 1024;

    const Composed = struct {
        side: *Side,
        at: usize,
        payloads: [messages_max]Payload,
        messages: u32,
        token: i32,
        answers: bool,
        malformed: bool,
    };

    /// Codes are what `code` makes of errors: any numbers below zero that can be told apart.
    pub fn code(failure: SendError) i32 {
        return -@as(i32, @intFromError(failure));
    }

    pub fn compose(actor: *Actor) Outbox {
        var outbox: Outbox = .{};
        const die = actor.kernel.random();
        if (actor.is_resting or die.boolean()) return outbox;
        for (0..die.uintAtMost(usize, runs_max)) |_| {
            const side = actor.drawSide() orelse break;
            if (!outbox.addRun(actor, side)) break;
        }
        return outbox;
    }

    fn addRun(outbox: *Outbox, actor: *Actor, side: *Side) bool {
        const area = actor.context.batch.outbox;
        const die = actor.kernel.random();
        const start = outbox.bytes;
        if (area.len - start < 1_000) return false;
        var run: Composed = .{
            .side = side,
            .at = start,
            .payloads = undefined,
            .messages = 0,
            .token = 0,
            .answers = actor.isAnswerable(side),
            .malformed = false,
        };
        var at: usize = start + @sizeOf(Run);
        for (0..die.uintAtMost(usize, messages_max)) |_| {
            const payload = actor.drawPayload(&side.limits);
            if (area.len - at < ipc.frame.header_bytes + payload.length + @alignOf(Run)) break;
            area[at..][0..ipc.frame.header_bytes].* = ipc.frame.encodeHeader(payload.length);
            @memcpy(area[at + ipc.frame.header_bytes ..][0..payload.length], payload.bytes());
            at += ipc.frame.header_bytes + payload.length;
            run.payloads[run.messages] = payload;
            run.messages += 1;
        }
        if (run.messages == 1) run.token = actor.drawToken();
        const header: *Run = @ptrCast(@alignCast(area[start..].ptr));
        header.* = .{
            .connection = side.handle,
            .bytes = @intCast(at - start - @sizeOf(Run)),
            .messages = run.messages,
            .token_or_result = run.token,
        };
        if (actor.kernel.oneIn(200)) run.malformed = garble(header, area[start + @sizeOf(Run) ..], die);
        at = start + @sizeOf(Run) + header.bytes;
        outbox.runs[outbox.count] = run;
        outbox.count += 1;
        outbox.bytes = @intCast(std.mem.alignForward(usize, at, @alignOf(Run)));
        return true;
    }

    /// Returns whether the run is wrong now.
    fn garble(header: *Run, frames: []u8, random: std.Random) bool {
        switch (random.uintLessThan(u8, 5)) {
            0 => header.messages += 1,
            1 => {
                if (header.messages == 0) return false;
                header.messages -= 1;
            },
            2 => {
                if (header.bytes == 0) return false;
                header.bytes -= 1;
            },
            3 => {
                if (header.bytes == 0) return false;
                frames[random.uintLessThan(usize, header.bytes)] +%= 1;
            },
            else => {
                if (header.messages == 1) return false;
                header.token_or_result = 7;
            },
        }
        return true;
    }

    /// Reads the results, after the call that sent the runs.
    pub fn note(outbox: *const Outbox, actor: *Actor) void {
        for (outbox.runs[0..outbox.count]) |*run| {
            const header: *const Run = @ptrCast(@alignCast(actor.context.batch.outbox[run.at..].ptr));
            const result = header.token_or_result;
            actor.kernel.trace("context {d} was told {d} of {d} messages by connection {d}", .{
                actor.number, result, run.messages, run.side.handle.number(),
            });
            if (run.malformed) {
                // Whatever it made of that: it has ended, or the peer will find out.
                run.side.malformed = true;
                if (result < 0) switch (failureOf(result)) {
                    error.Closed, error.Ended, error.Malformed => run.side.sealed = true,
                    else => {},
                };
                if (result > run.side.limits.queue_bytes_high) run.side.press(actor.batch_number);
                continue;
            }
            if (run.messages == 0 and result >= 0) continue;
            const said: SendError!u64 = if (result >= 0) @intCast(result) else failureOf(result);
            if (run.side.malformed) continue;
            actor.noteSent(run.side, run.payloads[0..run.messages], run.token, &.{}, run.answers, said);
        }
    }

    /// Whether a run was not taken, which its owner is told at once.
    pub fn hasRefused(outbox: *const Outbox, actor: *Actor) bool {
        for (outbox.runs[0..outbox.count]) |*run| {
            const header: *const Run = @ptrCast(@alignCast(actor.context.batch.outbox[run.at..].ptr));
            if (header.token_or_result < 0) return true;
        }
        return false;
    }

    fn failureOf(result: i32) SendError {
        return @errorCast(@errorFromInt(@as(u16, @intCast(-result))));
    }
};
