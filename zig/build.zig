//! Builds the native libraries, and runs everything that is tested in Zig.
//!
//! Artifacts come first and steps last. A library is one entry in `libraries`, and gets from it a
//! shared and a static build, an installed header, the checks of that header and the cross builds;
//! a module that has tests is one entry in `tested`.
//!
//!     zig build                     libraries and headers into PREFIX/lib and PREFIX/include
//!     zig build test                every Zig test, against the system it runs on
//!     zig build test -Dkqueue-library=NAME
//!                                   on Linux the tests of kqueue too, over an emulation of it that
//!                                   is installed, as libkqueue is by the name of kqueue; or, with
//!                                   the name stand-in, over the one in testing/
//!     zig build fuzz -- --seed N    the seeded run; without a seed it picks one and prints it
//!     zig build headers             each header: by itself, as C99 and as C++; held against its
//!                                   library; and used by C programs, its own example among them
//!     zig build cross               the libraries for every platform, into PREFIX/cross; for one
//!                                   with -Dplatform=NAME
//!     zig build floors              the floor programs of the benchmarks, into PREFIX/bin

const std = @import("std");
const Build = std.Build;
const Compile = Build.Step.Compile;
const Module = Build.Module;
const OptimizeMode = std.builtin.OptimizeMode;

const Library = struct {
    name: []const u8,
    root: []const u8,
    headers: []const Header,
    /// Holds the headers against the root, and the C file beside it says what is read of them.
    agreement: []const u8,
    declarations: []const u8,
    /// Is given the shared library, and looks at what it exports.
    symbols: []const u8,
    /// The major number is the number of the ABI, which the shared library's soname carries: a
    /// program linked with one ABI never starts with another.
    version: std.SemanticVersion,
};

const Header = struct {
    path: []const u8,
    /// C programs that use the shared library. The first tries everything; the second is given the
    /// example at the top of the header, and tries that.
    programs: [2][]const u8,
};

const libraries = [_]Library{
    .{
        .name = "earshot-ipc",
        .root = "ipc/exports.zig",
        .headers = &.{
            .{
                .path = "earshot/ipc.h",
                .programs = .{ "testing/c/conversation.c", "testing/c/example.c" },
            },
            .{
                .path = "libipc.h",
                .programs = .{ "testing/c/libipc.c", "testing/c/example.c" },
            },
        },
        .agreement = "testing/c/header.zig",
        .declarations = "testing/c/ipc.h",
        .symbols = "testing/c/symbols.zig",
        .version = .{ .major = 2, .minor = 0, .patch = 0 },
    },
    .{
        .name = "earshot-seal",
        .root = "seal/exports.zig",
        .headers = &.{
            .{
                .path = "earshot/seal.h",
                .programs = .{ "testing/c/seal.c", "testing/c/run.c" },
            },
        },
        .agreement = "testing/c/header.zig",
        .declarations = "testing/c/seal.h",
        .symbols = "testing/c/symbols.zig",
        .version = .{ .major = 1, .minor = 0, .patch = 0 },
    },
    .{
        .name = "earshot-memory",
        .root = "memory/exports.zig",
        .headers = &.{
            .{
                .path = "earshot/memory.h",
                .programs = .{ "testing/c/memory.c", "testing/c/run.c" },
            },
        },
        .agreement = "testing/c/header.zig",
        .declarations = "testing/c/memory.h",
        .symbols = "testing/c/symbols.zig",
        .version = .{ .major = 1, .minor = 0, .patch = 0 },
    },
    .{
        .name = "earshot-zygote",
        .root = "zygote/exports.zig",
        .headers = &.{
            .{
                .path = "earshot/zygote.h",
                .programs = .{ "testing/c/zygote.c", "testing/c/run.c" },
            },
        },
        .agreement = "testing/c/header.zig",
        .declarations = "testing/c/zygote.h",
        .symbols = "testing/c/symbols.zig",
        .version = .{ .major = 1, .minor = 0, .patch = 0 },
    },
};

/// A module that others import by its name, and those that it imports itself.
const Room = struct { name: []const u8, root: []const u8, imports: []const []const u8 = &.{} };

const rooms = [_]Room{
    .{ .name = "sys", .root = "sys/sys.zig" },
    .{ .name = "library", .root = "library/library.zig" },
    .{ .name = "ipc", .root = "ipc/ipc.zig", .imports = &.{ "sys", "library" } },
    .{ .name = "seal", .root = "seal/seal.zig", .imports = &.{ "sys", "library" } },
    .{ .name = "memory", .root = "memory/memory.zig", .imports = &.{ "sys", "library" } },
    .{ .name = "zygote", .root = "zygote/zygote.zig", .imports = &.{ "sys", "library" } },
};

const Tested = struct { name: []const u8, root: []const u8 };

const tested = [_]Tested{
    .{ .name = "sys", .root = "sys/sys.zig" },
    .{ .name = "library", .root = "library/library.zig" },
    .{ .name = "ipc", .root = "ipc/ipc.zig" },
    .{ .name = "exports", .root = "ipc/exports.zig" },
    .{ .name = "seal", .root = "seal/seal.zig" },
    .{ .name = "memory", .root = "memory/memory.zig" },
    .{ .name = "zygote", .root = "zygote/zygote.zig" },
    .{ .name = "testing", .root = "testing/testing.zig" },
};

/// Where the libraries are meant to run. The glibc is the oldest that Bun itself runs on, so that
/// a library built anywhere loads wherever Bun starts.
const platforms = [_][]const u8{
    "x86_64-linux-gnu.2.17",
    "aarch64-linux-gnu.2.17",
    "x86_64-linux-musl",
    "aarch64-linux-musl",
    "x86_64-macos",
    "aarch64-macos",
    "x86_64-freebsd",
};

/// Where the calls of kqueue come from: the system has them, or nobody does; the stand-in in
/// testing/; or an installed library. zig/sys/kqueue.zig is told, and looks at the tag alone.
const Kqueue = union(enum) { system, @"stand-in", library: []const u8 };

/// What a compilation is made for. Everything that goes into one artifact shares it.
const Settings = struct {
    target: Build.ResolvedTarget,
    optimize: OptimizeMode,
    strip: ?bool = null,
    kqueue: Kqueue = .system,
};

pub fn build(b: *Build) void {
    // A baseline processor is the default: the folder that holds the libraries may be copied to a
    // machine that lacks what this one has, and nothing measured gains from the newer instructions.
    const target = b.standardTargetOptions(.{ .default_target = .{ .cpu_model = .baseline } });
    const optimize = b.option(OptimizeMode, "optimize", "Default: as each artifact ships");
    const symbols = b.option(bool, "symbols", "Keep debug information in libraries") orelse false;
    const kqueue_library = b.option(
        []const u8,
        "kqueue-library",
        "Also test over kqueue on Linux: an installed emulation's name, or stand-in for our own",
    );
    const wanted = b.option([]const u8, "platform", "The one that the step cross builds for; default: all");

    const shipped: Settings = .{
        .target = target,
        .optimize = optimize orelse .ReleaseSafe,
        .strip = !symbols,
    };
    const debugged: Settings = .{ .target = target, .optimize = optimize orelse .Debug };
    const fuzzed: Settings = .{ .target = target, .optimize = optimize orelse .ReleaseSafe };
    const measured: Settings = .{ .target = target, .optimize = optimize orelse .ReleaseFast };

    // Artifacts.

    const library_step = b.step("lib", "Build and install the libraries only");
    var shared: [libraries.len]*Compile = undefined;
    for (libraries, &shared) |library, *artifact| {
        artifact.* = addLibrary(b, library, .dynamic, shipped);
        const static = addLibrary(b, library, .static, shipped);
        library_step.dependOn(&b.addInstallArtifact(artifact.*, .{}).step);
        library_step.dependOn(&b.addInstallArtifact(static, .{}).step);
    }

    const test_step = b.step("test", "Run the Zig tests");
    var emulating = debugged;
    if (kqueue_library) |name| {
        emulating.kqueue = findKqueue(target, name);
    } else if (target.result.os.tag == .linux) test_step.dependOn(addSkipped(
        b,
        "tests over kqueue: -Dkqueue-library=stand-in runs them, and NAME over an installed libNAME",
    ));
    for (tested) |entry| {
        const artifact = b.addTest(.{
            .name = entry.name,
            .root_module = createModule(b, entry.root, emulating),
        });
        const run = b.addRunArtifact(artifact);
        // Most of these tests speak to the system, whose answer of yesterday proves nothing today.
        run.has_side_effects = true;
        // The vectors that Zig and TypeScript share are named from the root of the repository.
        run.setCwd(b.path(".."));
        test_step.dependOn(&run.step);
    }

    const fuzz_step = b.step("fuzz", "Run random scenarios; a failure prints its seed");
    const fuzz = b.addExecutable(.{
        .name = "fuzz",
        .root_module = createModule(b, "testing/fuzz.zig", fuzzed),
    });
    const fuzz_run = b.addRunArtifact(fuzz);
    fuzz_run.addArgs(b.args orelse &.{});
    fuzz_step.dependOn(&fuzz_run.step);

    const headers_step = b.step("headers", "Hold each header against compilers, library and use");
    for (libraries, shared) |library, artifact| {
        for (library.headers) |header| {
            headers_step.dependOn(&addHeaderCheck(b, header, .c, target).step);
            headers_step.dependOn(&addHeaderCheck(b, header, .cpp, target).step);
            for (addPrograms(b, header, artifact)) |run| headers_step.dependOn(&run.step);
        }
        headers_step.dependOn(&addSymbolsCheck(b, library, artifact, debugged).step);
        const agreement = addAgreement(b, library, debugged);
        headers_step.dependOn(&agreement.step);
        test_step.dependOn(&agreement.step);
    }

    const cross_step = b.step("cross", "Build the libraries for every platform");
    if (wanted) |name| if (!isPlatform(name)) {
        cross_step.dependOn(&b.addFail(b.fmt("there is no platform \"{s}\"", .{name})).step);
    };
    for (platforms) |platform| {
        if (wanted) |name| if (!std.mem.eql(u8, name, platform)) continue;
        const settings: Settings = .{
            .target = b.resolveTargetQuery(parsePlatform(platform)),
            .optimize = shipped.optimize,
            .strip = shipped.strip,
        };
        for (libraries) |library| {
            for ([_]std.builtin.LinkMode{ .dynamic, .static }) |linkage| {
                const artifact = addLibrary(b, library, linkage, settings);
                const install = b.addInstallArtifact(artifact, .{
                    .dest_dir = .{ .override = .{ .custom = b.fmt("cross/{s}", .{platform}) } },
                });
                cross_step.dependOn(&install.step);
            }
        }
    }

    const floors_step = b.step("floors", "Build the benchmarks' floor programs");
    for (listFloors(b)) |name| {
        const floor = b.addExecutable(.{
            .name = name,
            .root_module = createModule(b, b.fmt("{s}/{s}.zig", .{ floors_path, name }), measured),
        });
        floors_step.dependOn(&b.addInstallArtifact(floor, .{}).step);
    }

    // Steps.

    const install_step = b.getInstallStep();
    install_step.dependOn(library_step);
    for (libraries) |library| {
        for (library.headers) |header| {
            const source = headerPath(b, header);
            install_step.dependOn(&b.addInstallHeaderFile(source, header.path).step);
        }
    }
}

const floors_path = "../bench/floor";

/// A module and all that may be imported from it: what its room imports, and in the folder of a room
/// that is none itself, the room. What belongs to no room stands on the context.
fn createModule(b: *Build, root: []const u8, settings: Settings) *Module {
    for (rooms) |room| if (std.mem.eql(u8, root, room.root)) return createRoom(b, room, settings);
    const home = for (rooms) |room| {
        if (std.mem.eql(u8, std.fs.path.dirname(root).?, std.fs.path.dirname(room.root).?)) break room;
    } else findRoom("ipc");
    const module = b.createModule(moduleOptions(b, root, settings));
    const inner = createRoom(b, home, settings);
    for (home.imports) |name| module.addImport(name, inner.import_table.get(name).?);
    module.addImport(home.name, inner);
    return module;
}

fn createRoom(b: *Build, room: Room, settings: Settings) *Module {
    if (std.mem.eql(u8, room.name, "sys")) return createSystem(b, settings);
    const module = b.createModule(moduleOptions(b, room.root, settings));
    for (room.imports) |name| module.addImport(name, createRoom(b, findRoom(name), settings));
    if (std.mem.eql(u8, room.name, "seal")) addCiphers(b, module, settings);
    return module;
}

fn findRoom(name: []const u8) Room {
    for (rooms) |room| if (std.mem.eql(u8, room.name, name)) return room;
    std.debug.panic("there is no room {s}", .{name});
}

/// What a processor of today has and a baseline one lacks, which makes ciphers some twenty times as
/// fast. They are compiled for it a second time, and chosen when the processor is known.
fn addCiphers(b: *Build, module: *Module, settings: Settings) void {
    const cpu = settings.target.result.cpu;
    var query = settings.target.query;
    switch (cpu.arch) {
        .x86_64 => query.cpu_features_add.addFeatureSet(std.Target.x86.featureSet(
            &.{ .aes, .pclmul, .avx, .avx2 },
        )),
        .aarch64 => query.cpu_features_add.addFeatureSet(std.Target.aarch64.featureSet(&.{.aes})),
        else => {},
    }
    const target = b.resolveTargetQuery(query);
    const is_baseline = !std.meta.eql(target.result.cpu.features, cpu.features);
    const options = b.addOptions();
    options.addOption(bool, "has_second_build", is_baseline);
    module.addOptions("options", options);
    if (!is_baseline) return;
    var own = settings;
    own.target = target;
    // Their loops are checked by the callers' lengths and by tests of every length.
    if (own.optimize == .ReleaseSafe) own.optimize = .ReleaseFast;
    const object = b.addObject(.{
        .name = "earshot-seal-ciphers",
        .root_module = b.createModule(moduleOptions(b, "seal/second_build.zig", own)),
    });
    object.root_module.stack_check = false;
    module.addObject(object);
}

fn createSystem(b: *Build, settings: Settings) *Module {
    const sys = b.createModule(moduleOptions(b, "sys/sys.zig", settings));
    const options = b.addOptions();
    options.addOption(std.meta.Tag(Kqueue), "kqueue", settings.kqueue);
    sys.addOptions("options", options);
    switch (settings.kqueue) {
        .system => {},
        .@"stand-in" => sys.linkLibrary(addKqueue(b, settings)),
        .library => |name| sys.linkSystemLibrary(name, .{}),
    }
    return sys;
}

/// `name` is what the option says.
fn findKqueue(target: Build.ResolvedTarget, name: []const u8) Kqueue {
    if (target.result.os.tag != .linux) {
        std.process.fatal("-Dkqueue-library is for Linux; elsewhere the tests have the system's own", .{});
    }
    return if (std.mem.eql(u8, name, "stand-in")) .@"stand-in" else .{ .library = name };
}

/// The stand-in, which knows the system as one without kqueue.
fn addKqueue(b: *Build, settings: Settings) *Compile {
    var own = settings;
    own.kqueue = .system;
    const module = b.createModule(moduleOptions(b, "testing/kqueue.zig", own));
    module.addImport("sys", createSystem(b, own));
    return b.addLibrary(.{ .name = "kqueue-stand-in", .linkage = .static, .root_module = module });
}

/// A step that does nothing but to stand in the summary as skipped.
fn addSkipped(b: *Build, what: []const u8) *Build.Step {
    const skipped = struct {
        fn make(_: *Build.Step, _: Build.Step.MakeOptions) anyerror!void {
            return error.MakeSkipped;
        }
    };
    const step = b.allocator.create(Build.Step) catch @panic("out of memory");
    step.* = .init(.{ .id = .custom, .name = what, .owner = b, .makeFn = skipped.make });
    return step;
}

fn moduleOptions(b: *Build, root: []const u8, settings: Settings) Module.CreateOptions {
    return .{
        .root_source_file = b.path(root),
        .target = settings.target,
        .optimize = settings.optimize,
        .strip = settings.strip,
        // Without libc, `std.Thread` starts threads that the host's libc knows nothing of, and the
        // first callback from one of them into Bun crashes.
        .link_libc = true,
        // A static library may end up in somebody's shared one.
        .pic = true,
    };
}

fn addLibrary(
    b: *Build,
    library: Library,
    linkage: std.builtin.LinkMode,
    settings: Settings,
) *Compile {
    const artifact = b.addLibrary(.{
        .name = library.name,
        .linkage = linkage,
        .version = library.version,
        .root_module = createModule(b, library.root, settings),
    });
    switch (linkage) {
        // Whoever links the static library with another compiler has no other place to get it from.
        .static => artifact.bundle_compiler_rt = true,
        // The shared one has libc beside it, whose memcpy is several times faster than the one that
        // comes with Zig's runtime and would take its place. Nothing else of the runtime is needed,
        // but by a debug build, whose traces take more arithmetic.
        .dynamic => {
            artifact.bundle_compiler_rt = settings.optimize == .Debug;
            artifact.root_module.stack_check = false;
            artifact.linker_allow_shlib_undefined = false;
        },
    }
    return artifact;
}

/// A header must stand by itself: nothing before it, nothing beside it, no warning in either
/// language.
fn addHeaderCheck(
    b: *Build,
    header: Header,
    language: Module.CSourceLanguage,
    target: Build.ResolvedTarget,
) *Compile {
    return b.addObject(.{
        .name = b.fmt("{s}-{t}", .{ std.fs.path.stem(header.path), language }),
        .root_module = createForeignModule(b, headerPath(b, header), language, target),
    });
}

/// What is written in another language against a header, and may give no warning.
fn createForeignModule(
    b: *Build,
    file: Build.LazyPath,
    language: Module.CSourceLanguage,
    target: Build.ResolvedTarget,
) *Module {
    const module = b.createModule(.{ .target = target, .optimize = .Debug, .link_libc = true });
    const standard = switch (language) {
        .c => "-std=c99",
        .cpp => "-std=c++11",
        else => unreachable,
    };
    module.addIncludePath(b.path("include"));
    module.addCSourceFile(.{
        .file = file,
        .language = language,
        .flags = &.{ standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror" },
    });
    return module;
}

/// A header is written by hand, so a test compares all of it with what the library exports.
fn addAgreement(b: *Build, library: Library, settings: Settings) *Build.Step.Run {
    const declarations = b.addTranslateC(.{
        .root_source_file = b.path(library.declarations),
        .target = settings.target,
        .optimize = settings.optimize,
    });
    declarations.addIncludePath(b.path("include"));
    const module = b.createModule(moduleOptions(b, library.agreement, settings));
    module.addImport("header", declarations.createModule());
    module.addImport("exports", createModule(b, library.root, settings));
    const run = b.addRunArtifact(b.addTest(.{
        .name = b.fmt("{s}-header", .{library.name}),
        .root_module = module,
    }));
    run.skip_foreign_checks = true;
    return run;
}

/// What a library exports is what its root lists, and nothing else.
fn addSymbolsCheck(
    b: *Build,
    library: Library,
    shared: *Compile,
    settings: Settings,
) *Build.Step.Run {
    const module = b.createModule(moduleOptions(b, library.symbols, settings));
    module.addImport("exports", createModule(b, library.root, settings));
    const run = b.addRunArtifact(b.addExecutable(.{
        .name = b.fmt("{s}-symbols", .{library.name}),
        .root_module = module,
    }));
    run.addArtifactArg(shared);
    run.expectExitCode(0);
    run.skip_foreign_checks = true;
    return run;
}

/// The programs of a header, each in a run directory of its own.
fn addPrograms(b: *Build, header: Header, shared: *Compile) [2]*Build.Step.Run {
    const example = addProgram(b, b.addWriteFiles().add(
        b.fmt("{s}-example.c", .{std.fs.path.stem(header.path)}),
        readExample(b, header),
    ), shared);
    var runs: [2]*Build.Step.Run = undefined;
    for (header.programs, &runs) |path, *run| {
        run.* = b.addRunArtifact(addProgram(b, b.path(path), shared));
        run.*.addArg("/tmp/earshot-c-XXXXXX");
        run.*.expectExitCode(0);
        run.*.has_side_effects = true;
        run.*.skip_foreign_checks = true;
    }
    runs[1].addArtifactArg(example);
    return runs;
}

fn addProgram(b: *Build, file: Build.LazyPath, shared: *Compile) *Compile {
    const target = shared.root_module.resolved_target.?;
    const program = b.addExecutable(.{
        .name = std.fs.path.stem(file.basename(b, null)),
        .root_module = createForeignModule(b, file, .c, target),
    });
    program.root_module.linkLibrary(shared);
    return program;
}

/// The program in the first comment of a header: what is indented there, from the first line that
/// includes something to the brace that ends it.
fn readExample(b: *Build, header: Header) []const u8 {
    const indent = " *     ";
    const path = b.pathFromRoot(b.fmt("include/{s}", .{header.path}));
    const io = b.graph.io;
    const text = std.Io.Dir.cwd().readFileAlloc(io, path, b.allocator, .unlimited) catch |err|
        std.debug.panic("{s}: {t}", .{ path, err });
    const start = std.mem.find(u8, text, "\n" ++ indent ++ "#include") orelse
        std.debug.panic("{s}: its first comment has no example", .{path});
    var program: std.ArrayList(u8) = .empty;
    var lines = std.mem.splitScalar(u8, text[start + 1 ..], '\n');
    while (lines.next()) |line| {
        const rest = if (std.mem.startsWith(u8, line, indent)) line[indent.len..] else "";
        program.print(b.allocator, "{s}\n", .{rest}) catch @panic("out of memory");
        if (std.mem.eql(u8, rest, "}")) break;
    }
    return program.items;
}

fn headerPath(b: *Build, header: Header) Build.LazyPath {
    return b.path(b.fmt("include/{s}", .{header.path}));
}

fn isPlatform(name: []const u8) bool {
    for (platforms) |platform| if (std.mem.eql(u8, name, platform)) return true;
    return false;
}

fn parsePlatform(platform: []const u8) std.Target.Query {
    return std.Target.Query.parse(.{ .arch_os_abi = platform }) catch |err|
        std.debug.panic("platform {s}: {t}", .{ platform, err });
}

/// A floor program is a file, so a new one needs no line here.
fn listFloors(b: *Build) []const []const u8 {
    const io = b.graph.io;
    var names: std.ArrayList([]const u8) = .empty;
    var folder = b.build_root.handle.openDir(io, floors_path, .{ .iterate = true }) catch return &.{};
    defer folder.close(io);
    var entries = folder.iterate();
    while (entries.next(io) catch |err| std.debug.panic("{s}: {t}", .{ floors_path, err })) |entry| {
        if (entry.kind != .file or !std.mem.endsWith(u8, entry.name, ".zig")) continue;
        names.append(b.allocator, b.dupe(std.fs.path.stem(entry.name))) catch @panic("out of memory");
    }
    return names.items;
}
