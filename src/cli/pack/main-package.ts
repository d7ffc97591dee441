/** The package `earshot`: the sources in JavaScript with their declarations, and where its libraries are. */

import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import repository from "../../../package.json" with { type: "json" };
import { packageName } from "../../native/platforms.ts";
import { version, writeManifest } from "./manifest.ts";
import { root, runTool } from "./tool.ts";

/** What can be imported, by the name it has there. */
const entries = [
  [".", "index"],
  ["./browser", "crypto/browser/index"],
  ["./crypto", "crypto/index"],
  ["./memory", "memory/index"],
  ["./zygote", "zygote/index"],
] as const;

/** What is started, and imported by nobody. */
const programs = ["zygote/entry"];

const entryOf = (path: string) => ({ types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` });

/** `libraries` are the names of those that each platform has. `folder` is empty, and lies in the repository. */
export function layMainPackage(
  folder: string,
  libraries: ReadonlyMap<string, readonly string[]>,
): void {
  compile(folder);
  writeFileSync(join(folder, "dist", "native", "packages.js"), packagesModule(libraries));
  for (const file of ["README.md", "CHANGELOG.md"])
    copyFileSync(join(root, file), join(folder, file));
  const { name, description, keywords, dependencies } = repository;
  writeManifest(folder, {
    name,
    description,
    keywords,
    exports: {
      ...Object.fromEntries(entries.map(([name, path]) => [name, entryOf(path)])),
      "./package.json": "./package.json",
    },
    files: ["dist", "CHANGELOG.md"],
    dependencies,
    optionalDependencies: Object.fromEntries(
      [...libraries.keys()].map((platform) => [packageName(platform), version]),
    ),
  });
}

/** What can be imported, what that leads to, and nothing else of the sources. */
function compile(folder: string): void {
  const settings = join(folder, "tsconfig.json");
  const repositoryIs = relative(folder, root);
  writeFileSync(
    settings,
    JSON.stringify({
      extends: `${repositoryIs}/tsconfig.json`,
      files: [...entries.map(([, path]) => path), ...programs].map(
        (path) => `${repositoryIs}/src/${path}.ts`,
      ),
      include: [],
      compilerOptions: {
        noEmit: false,
        rootDir: `${repositoryIs}/src`,
        outDir: "dist",
        declaration: true,
        // Whoever installs it may have no types but these, and what is internal needs those of Bun.
        stripInternal: true,
        rewriteRelativeImportExtensions: true,
      },
    }),
  );
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  runTool([process.execPath, "--bun", compiler, "--project", settings], root);
  rmSync(settings);
}

/** What stands in the place of `src/native/packages.ts`. */
function packagesModule(libraries: ReadonlyMap<string, readonly string[]>): string {
  const platforms = [...libraries].map(([platform, names]) => {
    const entries = names.map((name) => entry(name, `${packageName(platform)}/lib${name}.js`));
    return `    ${JSON.stringify(platform)}: {\n${entries.join("")}    },\n`;
  });
  return `// Each is required in a \`try\`, by which bundlers know that it may be missing: only the packages of one platform are
// installed.
export const packages = {
  version: ${JSON.stringify(version)},
  files: {
${platforms.join("")}  },
};
`;
}

function entry(name: string, path: string): string {
  return `      ${JSON.stringify(name)}() {
        try {
          return require(${JSON.stringify(path)}).default;
        } catch (error) {
          throw error;
        }
      },
`;
}
