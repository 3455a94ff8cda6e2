// A relay as its users run it (the real binary, a relay.toml, free ports, a temporary folder), an application behind it, and a
// provider that signs.

import { createHmac, randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { kill, start } from "../relay.mjs";

const SECRET = "a secret of this test only";
/** What has not come true by then will not, on whatever machine. */
const PATIENCE_MS = 60_000;

/** The tokens of a relay that has some. */
export const TOKENS = { operator: "operators-token-0123456789", viewer: "viewers-token-0123456789" };

/** Waits until `look` finds that something is so: the relay answers before all is done that it does then. */
export async function eventually(what, look) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`this does not come true: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** An application. Its path says what it does: `/ok`, `/busy` (503 with hostile text), `/refuses` (422), until it is mended. */
async function application(seen, mended) {
  const server = http.createServer((request, answer) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      seen.push({ path: request.url, body: Buffer.concat(chunks) });
      const says = {
        "/busy?key=hidden-key": [503, {}, "busy"],
        "/busy": [503, { "x-resp": "<script>alert(1)</script>" }, "<script>alert(1)</script>"],
        "/refuses": [422, { "content-type": "text/html" }, "<svg/onload=alert(1)>"],
      };
      const [status, headers, body] = (!mended.has(request.url) && says[request.url]) || [200, {}, "ok"];
      answer.writeHead(status, headers);
      answer.end(body);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

function settings(port, guarded, listens) {
  const tokens = Object.entries(TOKENS).map(([role]) => `{ name = "${role}", role = "${role}", secret = { file = "${role}" } }`);
  return `
[listen]
https = "127.0.0.1:0"
[tls]
self_signed = true
[admin]
listen = "${listens}"
${guarded ? `tokens = [${tokens.join(", ")}]` : ""}
[store]
path = "data"
${["github", "quiet"].map((name) => `
[sources.${name}]
path = "/in/${name}"
provider = "github"
secrets = [{ file = "secret" }]
`).join("")}
${["ok", "busy", "refuses"].map((name) => `
[destinations.${name}]
url = "http://127.0.0.1:${port}/${name}"
retry = { schedule = ["10m"] }
`).join("")}
[[routes]]
from = "github"
to = ["ok", "busy", "refuses"]
[[routes]]
from = "quiet"
to = ["ok"]
[sources.orders]
path = "/in/orders"
provider = "github"
secrets = [{ file = "secret" }]
[destinations.ordered]
url = "http://user:hidden-password@127.0.0.1:${port}/busy?key=hidden-key"
order_by = "/k"
per_second = 50
headers = { x-key = "hidden-header" }
retry = { schedule = ["10m"] }
[[routes]]
from = "orders"
to = ["ordered"]
`;
}

export class Relay {
  /** What the application got. */
  seen = [];
  /** Paths of the application that work by now. */
  mended = new Set();

  static async start({ guarded = false, more = "" } = {}) {
    const relay = new Relay();
    relay.more = more;
    relay.folder = mkdtempSync(join(tmpdir(), "hookhold-browser-"));
    mkdirSync(join(relay.folder, "certs"));
    const file = (name, text) => writeFileSync(join(relay.folder, name), text, { mode: 0o600 });
    file("secret", SECRET);
    Object.entries(TOKENS).forEach(([role, token]) => file(role, token));
    relay.application = await application(relay.seen, relay.mended);
    relay.guarded = guarded;
    await relay.up("127.0.0.1:0");
    return relay;
  }

  /** Starts the binary, and learns where it listens. */
  async up(listens) {
    writeFileSync(join(this.folder, "relay.toml"), settings(this.application.address().port, this.guarded, listens) + this.more);
    Object.assign(this, await start(this.folder));
  }

  async down() {
    await kill(this.process);
  }

  async stop() {
    await this.down();
    this.application.closeAllConnections();
    await new Promise((done) => this.application.close(done));
    rmSync(this.folder, { recursive: true });
  }

  /** Sends a webhook as GitHub does, and gives the event's id; with another secret than the relay's it must be refused, and is kept
   *  in quarantine when this returns: the relay keeps it after its answer. */
  async send(body, { source = "github", type = "push", query = "", id = randomUUID(), headers = {}, secret = SECRET } = {}) {
    const kept = secret === SECRET ? 0 : (await this.api("status")).counts.quarantined;
    const bytes = Buffer.from(body);
    const signature = `sha256=${createHmac("sha256", secret).update(bytes).digest("hex")}`;
    const own = { "content-type": "application/json", "x-github-event": type, "x-github-delivery": id };
    const all = { ...own, "x-hub-signature-256": signature, ...headers };
    const options = { method: "POST", path: `/in/${source}${query}`, headers: all, rejectUnauthorized: false };
    const answer = await new Promise((done, fail) => {
      const request = https.request(this.webhooks, options, (got) => {
        got.resume();
        got.on("end", () => done(got));
      });
      request.on("error", fail);
      request.end(bytes);
    });
    if (answer.statusCode !== (secret === SECRET ? 200 : 401)) throw new Error(`the relay answered ${answer.statusCode}`);
    if (secret !== SECRET) await this.quarantined(kept + 1);
    return answer.headers["hookhold-event-id"];
  }

  /** What the API tells. */
  async api(path) {
    const headers = this.guarded ? { authorization: `Bearer ${TOKENS.operator}` } : {};
    const answer = await fetch(`${this.admin}/api/v1/${path}`, { headers });
    return answer.json();
  }

  /** Asks the API for a change. */
  async act(path, body = {}) {
    const headers = { "content-type": "application/json", ...(this.guarded && { authorization: `Bearer ${TOKENS.operator}` }) };
    const answer = await fetch(`${this.admin}/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: the relay answered ${answer.status}`);
    return answer.json();
  }

  /** Writes another relay.toml: what `change` makes of it. */
  edit(change) {
    const file = join(this.folder, "relay.toml");
    writeFileSync(file, change(readFileSync(file, "utf8")));
  }

  /** Waits until so many requests are in quarantine. */
  async quarantined(count) {
    await eventually(`${count} requests are in quarantine`, async () => (await this.api("status")).counts.quarantined >= count);
  }

  /** Waits until an event's deliveries were attempted: one is delivered, one waits, one is parked. */
  async attempted(event) {
    await eventually("all deliveries were attempted", async () => {
      const { deliveries } = await this.api(`events/${event}`);
      return deliveries.every((one) => one.attempts.length > 0 && one.state !== "in_flight");
    });
  }
}
