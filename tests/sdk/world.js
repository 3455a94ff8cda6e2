// A relay as its users run it (the real binary, a relay.toml, free ports, a temporary folder), an application that keeps what it
// gets as raw bytes, and a provider that signs.

import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { kill, start } from "../relay.mjs";

/** Far more than anything here takes, also on a busy machine. */
const PATIENCE_MS = 30_000;

/** A secret in the form of both libraries, made at run time. */
export const secret = () => `whsec_${randomBytes(24).toString("base64")}`;

/** Fails after a while. */
async function within(what, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what} did not come within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export class World {
  /** What the application got: path, headers, raw body, and when. */
  got = [];
  /** Statuses with which it answers, by webhook and path; then 200. */
  answers = new Map();

  /** `signed`: by destination, the provider as which it signs, and the secrets. */
  static async start(signed) {
    const world = new World();
    world.folder = mkdtempSync(join(tmpdir(), "hookhold-sdk-"));
    world.provider = randomBytes(16).toString("hex");
    world.application = http.createServer((request, answer) => world.#take(request, answer));
    await new Promise((done) => world.application.listen(0, "127.0.0.1", done));
    world.#file("provider", world.provider);
    world.#file("relay.toml", world.#settings(signed));
    return Object.assign(world, await start(world.folder));
  }

  #file(name, text) {
    writeFileSync(join(this.folder, name), text, { mode: 0o600 });
  }

  #settings(signed) {
    const destinations = Object.entries(signed).map(([name, { as, secrets }]) => {
      const files = secrets.map((text, n) => {
        this.#file(`${name}-${n}`, text);
        return `{ file = "${name}-${n}" }`;
      });
      return `
[destinations.${name}]
url = "http://127.0.0.1:${this.application.address().port}/${name}"
retry = { schedule = ["8s"] }
sign = { as = "${as}", secrets = [${files.join(", ")}] }
`;
    });
    return `
[listen]
https = "127.0.0.1:0"
[tls]
self_signed = true
[admin]
listen = "127.0.0.1:0"
[store]
path = "data"
[sources.github]
path = "/in/github"
provider = "github"
secrets = [{ file = "provider" }]
${destinations.join("")}
[[routes]]
from = "github"
to = [${Object.keys(signed).map((name) => `"${name}"`).join(", ")}]
`;
  }

  #take(request, answer) {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const path = request.url.slice(1);
      this.got.push({ path, headers: request.headers, body: Buffer.concat(chunks), at: Date.now() });
      const answers = this.answers.get(request.headers["x-github-delivery"]);
      answer.writeHead(answers?.[path]?.shift() ?? 200);
      answer.end();
    });
  }

  /** Sends a webhook as GitHub does, which the application answers with these statuses, by path. Gives its delivery id. */
  async send(bytes, answers = {}) {
    const id = randomUUID();
    this.answers.set(id, answers);
    const signature = `sha256=${createHmac("sha256", this.provider).update(bytes).digest("hex")}`;
    const headers = { "content-type": "application/json", "x-github-event": "push", "x-github-delivery": id };
    const options = { method: "POST", headers: { ...headers, "x-hub-signature-256": signature }, rejectUnauthorized: false };
    const sent = new Promise((done, fail) => {
      const request = https.request(`${this.webhooks}/in/github`, options, (got) => {
        got.resume();
        got.on("end", () => done(got.statusCode));
      });
      request.on("error", fail);
      request.end(bytes);
    });
    const status = await within("an answer", sent);
    if (status !== 200) throw new Error(`the relay answered ${status}`);
    return id;
  }

  /** What the application got at a path of one webhook, once it was so often. */
  async arrived(path, id, count = 1) {
    const end = Date.now() + PATIENCE_MS;
    while (Date.now() < end) {
      const got = this.got.filter((one) => one.path === path && one.headers["x-github-delivery"] === id);
      if (got.length >= count) return got;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`${path} did not get it ${count} times`);
  }

  async stop() {
    await kill(this.process);
    this.application.closeAllConnections();
    await new Promise((done) => this.application.close(done));
    rmSync(this.folder, { recursive: true });
  }
}
