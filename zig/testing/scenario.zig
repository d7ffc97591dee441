//! One run: a few contexts and a few peers that are none, on a fake kernel, all drawn from one seed.
//!
//! 1. Chaos. In each step somebody does something: a context is called, a peer acts, time passes. Faults happen as
//!    the seed has it. After each step everything is compared with the model (`Actor.audit`).
//! 2. Rest. Faults cease and everybody reads. The contexts are called only when they ask for it, as the waiter
//!    thread would do; when none of them does any more, nothing may be left undone (`Actor.auditAtRest`).
//! 3. End. Everything is closed, and nothing may be left behind.

const std = @import("std");
const actors = @import("actor.zig");
const kernels = @import("kernel.zig");
const Actor = actors.Actor;
const FakeSystem = @import("fake_system.zig").FakeSystem;
const Faults = @import("fault.zig").Faults;
const Kernel = kernels.Kernel;
const Pages = @import("pages.zig").Pages;
const Payload = @import("payload.zig").Payload;
const Peer = @import("peer.zig").Peer;
const Planted = @import("fault.zig").Planted;

const actors_max = 3;
const listeners_max = 4;
const connections_max = 24;
const peers_max = 12;
/// More rounds than any run needs to come to rest; one that needs more is running in circles.
const rounds_max = 50_000;
/// A context that is asked to wait while nothing happens asks its poller once, and once more when the time is over.
const idle_waits_max = 2;
/// Long enough for somebody who is never served to be noticed (`actor.unserved_waits_max`).
const hurried_waits = 150;
/// Two that send nothing but empty frames fill the events of a batch, and a few more its inbox.
const crowding_peers = 5;
const crowding_waits = 5;
/// After so many waits in vain it has stopped spinning, whatever went before.
const spinning_waits_max = 8;

pub const Options = struct {
    seed: u64,
    planted: ?Planted = null,
    verbose: bool = false,
    /// Where contexts get their memory from; it may look for leaks of its own.
    allocator: std.mem.Allocator,
};

pub const Outcome = struct {
    /// The same for each run of a seed.
    fingerprint: u64,
    buffer: [200]u8 = undefined,
    bytes: usize = 0,

    /// What was wrong first, if anything was.
    pub fn complaint(outcome: *const Outcome) ?[]const u8 {
        return if (outcome.bytes == 0) null else outcome.buffer[0..outcome.bytes];
    }
};

/// Makes one run after the other, and keeps its memory between them: taking it from the system anew each time would
/// cost more than the runs.
pub const Runner = struct {
    arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator),
    pages: Pages = .{},

    pub fn deinit(runner: *Runner) void {
        runner.arena.deinit();
        runner.pages.deinit();
    }

    pub fn run(runner: *Runner, options: Options) Outcome {
        defer _ = runner.arena.reset(.retain_capacity);
        const arena = runner.arena.allocator();
        const scenario = arena.create(Scenario) catch @panic("out of memory");
        scenario.init(arena, &runner.pages, options);
        scenario.live();
        const kernel = &scenario.kernel;
        var outcome: Outcome = .{ .fingerprint = kernel.random().int(u64) ^ kernel.now_ns };
        if (kernel.complaint) |text| {
            outcome.bytes = @min(text.len, outcome.buffer.len);
            @memcpy(outcome.buffer[0..outcome.bytes], text[0..outcome.bytes]);
        }
        return outcome;
    }
};

const Scenario = struct {
    kernel: Kernel,
    options: Options,
    actors: [actors_max]*Actor = undefined,
    actors_count: usize = 0,
    listeners: [listeners_max]*kernels.Listener = undefined,
    listeners_count: usize = 0,
    peers: [peers_max]Peer = undefined,
    peers_count: usize = 0,
    connections: usize = 0,

    fn init(scenario: *Scenario, arena: std.mem.Allocator, pages: *Pages, options: Options) void {
        scenario.* = .{ .kernel = .init(arena, pages, options.seed), .options = options };
        const kernel = &scenario.kernel;
        kernel.verbose = options.verbose;
        kernel.planted = options.planted;
        kernel.faults = .draw(kernel.random());
        kernel.has_raw = kernel.oneIn(4);
        kernel.meanwhile = .{ .pointer = scenario, .function = letOthers };
        if (kernel.oneIn(8)) kernel.files_limit = kernel.random().intRangeAtMost(usize, 8, 24);
    }

    fn live(scenario: *Scenario) void {
        const kernel = &scenario.kernel;
        const die = kernel.random();
        for (0..die.intRangeAtMost(usize, 1, actors_max)) |_| scenario.addActor();
        const steps = die.intRangeAtMost(usize, 20, 250);
        for (0..steps) |_| {
            if (kernel.complaint != null) break;
            scenario.step();
            for (scenario.all()) |actor| actor.audit();
        }
        kernel.trace("comes to rest", .{});
        kernel.faults = .{};
        kernel.meanwhile = null;
        for (scenario.all()) |actor| actor.is_resting = true;
        for (kernel.sockets.items) |socket| socket.capacity = 1 << 20;
        kernel.files_limit = kernel.files.len;
        if (kernel.oneIn(2)) scenario.rest();
        scenario.end();
    }

    fn all(scenario: *Scenario) []*Actor {
        return scenario.actors[0..scenario.actors_count];
    }

    fn addActor(scenario: *Scenario) void {
        const kernel = &scenario.kernel;
        const actor = kernel.arena.create(Actor) catch @panic("out of memory");
        const number: u8 = @intCast(scenario.actors_count);
        actor.init(kernel, number, scenario.options.allocator) catch |failure| {
            const happened = &kernel.happened;
            if (happened.get(.allocation_failed) + happened.get(.watch_failed) + happened.get(.accept_limit) == 0)
                kernel.complain("a context does not start and says {t}", .{failure});
            if (actor.memory.live != 0) kernel.complain("a context that did not start leaves memory", .{});
            if (kernel.countFiles(number) != 0) kernel.complain("a context that did not start leaves descriptors", .{});
            return;
        };
        scenario.actors[scenario.actors_count] = actor;
        scenario.actors_count += 1;
        for (0..kernel.random().uintAtMost(usize, 2)) |_| scenario.addService(actor);
    }

    fn addService(scenario: *Scenario, actor: *Actor) void {
        if (scenario.listeners_count == listeners_max) return;
        const kernel = &scenario.kernel;
        const listener = kernel.arena.create(kernels.Listener) catch @panic("out of memory");
        listener.* = .{ .number = @intCast(scenario.listeners_count) };
        scenario.listeners[scenario.listeners_count] = listener;
        scenario.listeners_count += 1;
        actor.serve(listener);
    }

    // Chaos

    fn step(scenario: *Scenario) void {
        const kernel = &scenario.kernel;
        const die = kernel.random();
        const actor = scenario.drawActor() orelse return scenario.addActor();
        switch (die.uintLessThan(u8, 32)) {
            0, 1 => scenario.connect(actor),
            2, 3 => scenario.meetStranger(actor),
            4...8 => if (actor.drawSide()) |side| actor.send(side),
            9...17 => scenario.wait(actor),
            18 => actor.flush(),
            19...24 => scenario.stepPeer(),
            25 => if (kernel.oneIn(4)) {
                if (actor.drawSide()) |side| actor.close(side, if (die.boolean()) .drain else .now);
            },
            26 => switch (die.uintLessThan(u8, 24)) {
                0 => actor.closeAll(if (die.boolean()) .drain else .now),
                1, 2 => scenario.closeService(actor),
                3 => scenario.hurry(actor),
                10 => if (kernel.oneIn(16)) scenario.crowd(actor),
                4...9 => scenario.addService(actor),
                else => kernel.now_ns += die.uintLessThan(u64, 2_000_000_000),
            },
            27 => actor.watched.addTimer(&actor.context),
            28 => actor.watched.addExternal(&actor.context),
            29 => if (die.boolean()) actor.watched.toggle() else actor.watched.closeOne(&actor.context),
            30 => if (die.boolean()) actor.callStale() else if (actor.drawSide()) |side| actor.pause(side, die.boolean()),
            31 => if (die.boolean()) actor.ring() else scenario.stepClock(),
            else => unreachable,
        }
    }

    /// So much happens at once that no batch can hold it.
    fn crowd(scenario: *Scenario, actor: *Actor) void {
        const kernel = &scenario.kernel;
        const die = kernel.random();
        for (0..crowding_peers) |_| {
            scenario.meetStranger(actor);
            if (scenario.peers_count == 0) continue;
            scenario.peers[scenario.peers_count - 1].crowd();
        }
        for (0..crowding_waits) |_| {
            for (0..die.uintAtMost(usize, 5)) |_| {
                scenario.connect(actor);
                actor.watched.addTimer(&actor.context);
                actor.watched.addExternal(&actor.context);
                actor.watched.toggle();
                for (0..20) |_| if (actor.drawSide()) |side| actor.send(side);
            }
            if (kernel.complaint != null) return;
            for (scenario.peers[0..scenario.peers_count]) |*peer| peer.flood();
            scenario.stepClock();
            _ = actor.wait(0, 0);
            actor.audit();
        }
    }

    fn drawActor(scenario: *Scenario) ?*Actor {
        if (scenario.actors_count == 0) return null;
        return scenario.actors[scenario.kernel.random().uintLessThan(usize, scenario.actors_count)];
    }

    fn closeService(scenario: *Scenario, actor: *Actor) void {
        if (actor.services.items.len == 0) return;
        actor.closeService(&actor.services.items[scenario.kernel.random().uintLessThan(usize, actor.services.items.len)]);
    }

    fn stepClock(scenario: *Scenario) void {
        scenario.kernel.now_ns += scenario.kernel.random().uintLessThan(u64, 20_000);
    }

    fn wait(scenario: *Scenario, actor: *Actor) void {
        const kernel = &scenario.kernel;
        const die = kernel.random();
        const spin_ns: i64 = if (die.boolean()) -1 else die.uintLessThan(u16, 5_000);
        const timeout_ns: i64 = switch (die.uintLessThan(u8, 8)) {
            0...4 => 0,
            5 => die.uintLessThan(u16, 10_000),
            6 => die.uintLessThan(u32, 50_000_000),
            else => -1,
        };
        // Somebody must be there to wake it from that.
        kernel.rescue = actor.context.wake.signal;
        if (timeout_ns < 0 and die.boolean()) actor.ring();
        _ = actor.wait(timeout_ns, spin_ns);
        kernel.rescue = null;
    }

    /// A context has no rest for a while, and yet everybody is to have a turn.
    fn hurry(scenario: *Scenario, actor: *Actor) void {
        for (0..hurried_waits) |_| {
            if (scenario.kernel.complaint != null) return;
            for (scenario.peers[0..scenario.peers_count]) |*peer| peer.flood();
            _ = actor.wait(0, 0);
        }
    }

    /// A context connects to a service.
    fn connect(scenario: *Scenario, actor: *Actor) void {
        if (scenario.connections == connections_max or scenario.listeners_count == 0) return;
        const kernel = &scenario.kernel;
        const die = kernel.random();
        const listener = scenario.listeners[die.uintLessThan(usize, scenario.listeners_count)];
        const socket = kernel.connect(listener, drawUser(die), drawGroup(die)) catch return;
        scenario.connections += 1;
        actor.join(socket);
    }

    /// A context meets a peer that is no context, in one direction or the other.
    fn meetStranger(scenario: *Scenario, actor: *Actor) void {
        if (scenario.connections == connections_max or scenario.peers_count == peers_max) return;
        const kernel = &scenario.kernel;
        const die = kernel.random();
        scenario.connections += 1;
        const ours, const message_bytes_max = if (die.boolean() and scenario.listeners_count > 0) service: {
            const listener = scenario.listeners[die.uintLessThan(usize, scenario.listeners_count)];
            const socket = kernel.connect(listener, drawUser(die), drawGroup(die)) catch return;
            break :service .{ socket, scenario.limitOf(listener) };
        } else client: {
            const ends = kernel.connectPair(FakeSystem.own_user, 0);
            actor.join(ends[0]);
            const sides = actor.sides.items;
            if (ends[0].closed) return ends[1].close();
            break :client .{ ends[1], sides[sides.len - 1].limits.message_bytes_max };
        };
        scenario.peers[scenario.peers_count] = .init(kernel, ours, message_bytes_max);
        kernel.trace("a peer comes: {t}, socket {d}", .{ scenario.peers[scenario.peers_count].manner, ours.number });
        scenario.peers_count += 1;
    }

    fn limitOf(scenario: *Scenario, listener: *kernels.Listener) u32 {
        for (scenario.all()) |actor| {
            for (actor.services.items) |*service| {
                if (service.listener == listener) return service.limits.message_bytes_max;
            }
        }
        return 100;
    }

    fn drawUser(die: std.Random) u32 {
        return switch (die.uintLessThan(u8, 8)) {
            0 => 0,
            1 => 7,
            2 => 8,
            else => FakeSystem.own_user,
        };
    }

    fn drawGroup(die: std.Random) u32 {
        return if (die.boolean()) 100 else 101;
    }

    fn stepPeer(scenario: *Scenario) void {
        if (scenario.peers_count == 0) return;
        scenario.peers[scenario.kernel.random().uintLessThan(usize, scenario.peers_count)].step();
    }

    fn letOthers(pointer: *anyopaque) void {
        const scenario: *Scenario = @ptrCast(@alignCast(pointer));
        scenario.stepPeer();
    }

    // Rest

    fn rest(scenario: *Scenario) void {
        for (scenario.all()) |actor| actor.watched.closeAll(&actor.context);
        if (!scenario.untilQuiet()) return;
        for (scenario.all()) |actor| {
            actor.auditPaused();
            for (actor.sides.items) |side| if (side.paused) actor.pause(side, false);
        }
        if (!scenario.untilQuiet()) return;
        for (scenario.all()) |actor| actor.auditAtRest();
        for (scenario.all()) |actor| scenario.idle(actor);
    }

    /// Calls contexts as long as they have something to do, and lets the time pass that they wait for.
    fn untilQuiet(scenario: *Scenario) bool {
        const kernel = &scenario.kernel;
        for (0..rounds_max) |_| {
            if (kernel.complaint != null) return false;
            var quiet = true;
            var next_ns: u64 = std.math.maxInt(u64);
            for (scenario.peers[0..scenario.peers_count]) |*peer| {
                if (peer.settle()) quiet = false;
            }
            for (scenario.all()) |actor| {
                const deadline_ns = actor.context.nextDeadline() orelse std.math.maxInt(u64);
                next_ns = @min(next_ns, deadline_ns);
                const ready = actor.context.pending() or actor.context.poller.somethingReady();
                if (!ready and deadline_ns > kernel.now_ns) continue;
                quiet = false;
                _ = actor.wait(0, 0);
                actor.audit();
            }
            if (!quiet) continue;
            if (next_ns == std.math.maxInt(u64)) return true;
            kernel.now_ns = next_ns;
        }
        kernel.complain("does not come to rest", .{});
        return false;
    }

    /// A context with nothing to do does nothing.
    fn idle(scenario: *Scenario, actor: *Actor) void {
        const kernel = &scenario.kernel;
        if (kernel.complaint != null) return;
        const timeout_ns = 10 * std.time.ns_per_ms;
        for (0..spinning_waits_max) |_| {
            if (actor.wait(timeout_ns, -1) != 0) return kernel.complain("an idle context has something to tell", .{});
        }
        if (kernel.waits > idle_waits_max) kernel.complain("an idle context asks its poller {d} times", .{kernel.waits});
    }

    // End

    fn end(scenario: *Scenario) void {
        const kernel = &scenario.kernel;
        const die = kernel.random();
        if (die.boolean()) {
            for (scenario.all()) |actor| actor.closeAll(if (die.boolean()) .drain else .now);
            if (scenario.untilQuiet()) {
                for (scenario.all()) |actor| actor.expectOver();
            }
        }
        for (scenario.all()) |actor| actor.deinit();
        for (kernel.files, 0..) |file, fd| {
            if (file != null) kernel.complain("descriptor {d} stays open", .{fd});
        }
        if (kernel.pages.used != 0) kernel.complain("{d} areas stay mapped", .{kernel.pages.used});
    }
};
