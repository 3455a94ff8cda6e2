// The real binary, for the tests in the folders beside this file: which one, its start, and its end. Nothing but Node's own library.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Far more than a start takes, also on a busy machine. */
const START_MS = 30_000;

function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const found = [process.env.HOOKHOLD_BINARY, join(target, "release/hookhold"), join(target, "debug/hookhold")];
  const path = found.find((one) => one && existsSync(one));
  if (!path) throw new Error("there is no binary: build one, or name it in HOOKHOLD_BINARY");
  return path;
}

/** Runs the relay of `folder`'s relay.toml: its process, and where it says that it takes webhooks and calls of the admin API. */
export async function start(folder) {
  const relay = spawn(binary(), [], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  return new Promise((done, fail) => {
    const late = setTimeout(() => fail(new Error(`it does not start:\n${said}`)), START_MS);
    const hear = (chunk) => {
      said += chunk;
      const [webhooks, admin] = [/webhooks\s+(https:\S+)/.exec(said), /admin\s+(https?:\S+)/.exec(said)];
      if (!webhooks || !admin) return;
      clearTimeout(late);
      done({ process: relay, webhooks: webhooks[1], admin: admin[1] });
    };
    relay.stdout.on("data", hear);
    relay.stderr.on("data", hear);
    relay.on("exit", () => fail(new Error(`it ended:\n${said}`)));
  });
}

/** Kills it, and returns when it is gone. */
export async function kill(relay) {
  if (relay.exitCode !== null || relay.signalCode !== null) return;
  const ended = new Promise((done) => relay.on("exit", done));
  relay.kill("SIGKILL");
  await ended;
}
