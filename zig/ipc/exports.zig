//! What libearshot-ipc exports: the table of contents of its C face, and the ABI manifest made from
//! it. `zig/testing/c` holds the C header against it.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const code = @import("c/code.zig");
const context = @import("c/context.zig");
const handover = @import("c/handover.zig");
const manager = @import("c/manager.zig");
const libipc = @import("c/libipc.zig");
const lookup = @import("c/lookup.zig");
const library = @import("library");
const lock = @import("c/lock.zig");
const options = @import("c/options.zig");
const pipe = @import("c/pipe.zig");
const run_directory = @import("c/run_directory.zig");

/// What its functions and its header are called after.
pub const name = "ipc";

/// The number of the ABI; it changes when something that was there means something else.
pub const abi_version = 2;

/// Every thread of the host has a copy of the library's thread-local variables, and no handler of
/// ours ever runs on the 256 KiB of stack that the standard library would put among them.
pub const std_options: std.Options = .{ .signal_stack_size = null };

pub const panic = library.panic.PanicType("libearshot-ipc");

const face = library.face.FaceType(@This());

pub const functions = face.functions ++ .{
    .{ "earshot_ipc_context_open", &context.open },
    .{ "earshot_ipc_context_close", &context.close },
    .{ "earshot_ipc_context_entrust", &context.entrust },
    .{ "earshot_ipc_context_areas", &context.areas },
    .{ "earshot_ipc_area_reference", &context.areaReference },
    .{ "earshot_ipc_area_release", &context.areaRelease },
    .{ "earshot_ipc_loan_take", &context.loanTake },
    .{ "earshot_ipc_loan_release", &context.loanRelease },
    .{ "earshot_ipc_wait", &context.wait },
    .{ "earshot_ipc_next", &context.next },
    .{ "earshot_ipc_flush", &context.flush },
    .{ "earshot_ipc_bell", &context.openBell },
    .{ "earshot_ipc_bell_on", &context.openBellOn },
    .{ "earshot_ipc_bell_beside", &context.openBellBeside },
    .{ "earshot_ipc_bell_heard", &context.heardBell },
    .{ "earshot_ipc_bell_end", &context.endBell },
    .{ "earshot_ipc_arm", &context.arm },
    .{ "earshot_ipc_ring", &context.ring },
    .{ "earshot_ipc_serve", &context.serve },
    .{ "earshot_ipc_connect", &context.connect },
    .{ "earshot_ipc_lookup", &lookup.lookup },
    .{ "earshot_ipc_watch", &context.watch },
    .{ "earshot_ipc_timer", &context.timer },
    .{ "earshot_ipc_switch", &context.bind },
    .{ "earshot_ipc_switch_callbacks", &context.bindCallbacks },
    .{ "earshot_ipc_switch_converters", &context.bindConverters },
    .{ "earshot_ipc_convert", &context.convert },
    .{ "earshot_ipc_schedule", &context.schedule },
    .{ "earshot_ipc_write", &context.write },
    .{ "earshot_ipc_send", &handover.send },
    .{ "earshot_ipc_take", &handover.take },
    .{ "earshot_ipc_adopt", &handover.adopt },
    .{ "earshot_ipc_take_over", &handover.takeOver },
    .{ "earshot_ipc_copies", &handover.copies },
    .{ "earshot_ipc_pair", &handover.pair },
    .{ "earshot_ipc_listen", &handover.listen },
    .{ "earshot_ipc_dial", &handover.dial },
    .{ "earshot_ipc_address", &handover.addressOf },
    .{ "earshot_ipc_own_address", &handover.ownAddressOf },
    .{ "earshot_ipc_pause", &context.pause },
    .{ "earshot_ipc_limit_messages", &context.limitMessages },
    .{ "earshot_ipc_close", &context.closeHandle },
    .{ "earshot_ipc_close_all", &context.closeAll },
    .{ "earshot_ipc_peer", &context.peer },
    .{ "earshot_ipc_peer_process", &context.peerProcess },
    .{ "earshot_ipc_statistics", &context.statistics },
    .{ "earshot_ipc_inspect", &run_directory.inspect },
    .{ "earshot_ipc_run_directory", &run_directory.resolve },
    .{ "earshot_ipc_pipe", &pipe.open },
    .{ "earshot_ipc_pipe_block", &pipe.block },
    .{ "earshot_ipc_pipe_read", &pipe.read },
    .{ "earshot_ipc_pipe_write", &pipe.write },
    .{ "earshot_ipc_lock", &lock.take },
    .{ "earshot_ipc_inherit", &manager.inherit },
    .{ "earshot_ipc_launch_sockets", &manager.launchSockets },
    .{ "earshot_ipc_notify", &manager.notify },
};

/// LibIPC's calls, which `libipc.h` declares.
pub const foreign_functions = .{
    .{ "ipc_context_init", &libipc.init },
    .{ "ipc_context_deinit", &libipc.deinit },
    .{ "ipc_service_init", &libipc.serve },
    .{ "ipc_connect_service", &libipc.connect },
    .{ "ipc_write", &libipc.write },
    .{ "ipc_schedule", &libipc.schedule },
    .{ "ipc_read_fd", &libipc.readFd },
    .{ "ipc_read", &libipc.readIndex },
    .{ "ipc_wait_event", &libipc.waitEvent },
    .{ "ipc_context_timer", &libipc.setTimer },
    .{ "ipc_close_fd", &libipc.closeFd },
    .{ "ipc_close", &libipc.closeIndex },
    .{ "ipc_close_all", &libipc.closeAll },
    .{ "ipc_add_external", &libipc.addExternal },
    .{ "ipc_add_switch", &libipc.addSwitch },
    .{ "ipc_set_switch_callbacks", &libipc.setSwitchCallbacks },
    .{ "ipc_switching_callbacks", &libipc.setSwitchCallbacks },
};

pub const structs = .{
    .{ "Event", ipc.event.Event },
    .{ "Run", ipc.batch.Run },
    .{ "Control", ipc.batch.Control },
    .{ "ContextOptions", options.ContextOptions },
    .{ "Limits", ipc.connection.Limits },
    .{ "ServiceOptions", options.ServiceOptions },
    .{ "ConnectOptions", options.ConnectOptions },
    .{ "Areas", options.Areas },
    .{ "Peer", options.Peer },
    .{ "Address", sys.internet.Address },
    .{ "Failure", options.Failure },
    .{ "Inspection", options.Inspection },
    .{ "Statistics", ipc.statistics.Statistics },
};

pub const enums = .{
    .{ "EventType", ipc.event.Type },
    .{ "Reason", ipc.event.Reason },
    .{ "Code", code.Code },
    .{ "Syscall", sys.Syscall },
    .{ "PollerKind", ipc.poller.Kind },
    .{ "QueuePolicy", ipc.connection.QueuePolicy },
    .{ "Framing", ipc.connection.Framing },
    .{ "CloseHow", ipc.context.CloseHow },
    .{ "Verdict", ipc.switches.Verdict },
    .{ "NameFault", ipc.name.Fault },
    .{ "InspectionState", options.Inspection.State },
};

pub const constants = .{
    .{ "event_flag_loan", ipc.event.flag_loan },
    .{ "event_flag_descriptors", ipc.event.flag_descriptors },
    .{ "descriptors_max", sys.rights.descriptors_max },
    .{ "copies_max", ipc.handover.copies_max },
    .{ "launch_sockets_max", sys.manager.launch_sockets_max },
    .{ "header_bytes", ipc.frame.header_bytes },
    .{ "poison_byte", ipc.batch.poison_byte },
    .{ "name_bytes_max", ipc.name.name_bytes_max },
    .{ "run_directory_bytes_max", ipc.run_directory.path_bytes_max },
    .{ "allow_entries_max", ipc.service.Allow.entries_max },
    .{ "reason_bytes_max", ipc.lookup.answer_bytes_max },
    .{ "message_bytes_limit", ipc.connection.Limits.message_bytes_limit },
};

/// What only the header has: its guard, what C has to write out, and types without a layout.
pub const header_names = .{
    "EARSHOT_IPC_H",
    "EARSHOT_IPC_ABI",
    "EARSHOT_IPC_LIMITS_DEFAULT",
    "EARSHOT_IPC_CONTEXT_OPTIONS_DEFAULT",
    "EARSHOT_IPC_SERVICE_OPTIONS_DEFAULT",
    "EARSHOT_IPC_CONNECT_OPTIONS_DEFAULT",
    "earshot_ipc_context",
    "earshot_ipc_handle",
    "earshot_ipc_callback",
    "earshot_ipc_input",
    "earshot_ipc_output",
    "earshot_ipc_converter",
};

comptime {
    face.publish();
}
