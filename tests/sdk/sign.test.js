// What the relay signs anew is judged by the libraries that applications use: Stripe's own, and that of Standard Webhooks.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { World, secret } from "./world.js";

/** More than lies between signing and a look at it, less than between two attempts. */
const FRESH_S = 6;
const BODY = Buffer.from('{ "id":"evt_1",\n "object":"event", "type":"invoice.paid", "name":"caf\u00e9 \u2603", "n":1.0e2 }\n');
/** What a library says of one request: it gives the event, or throws. */
const STRIPE = ({ body, headers }, key, tolerance = 300) =>
  Stripe.webhooks.constructEvent(body, headers["stripe-signature"], key, tolerance);
const STANDARD = ({ body, headers }, key) => new Webhook(key).verify(body, headers);

const keys = { stripe: secret(), standard: secret(), rolled: [secret(), secret()], both: [secret(), secret()] };
let world;

before(async () => {
  world = await World.start({
    stripe: { as: "stripe", secrets: [keys.stripe] },
    standard: { as: "standard-webhooks", secrets: [keys.standard] },
    rolled: { as: "stripe", secrets: keys.rolled },
    both: { as: "standard-webhooks", secrets: keys.both },
  });
});
after(() => world?.stop());

for (const [path, judge, as] of [["stripe", STRIPE, "stripe"], ["standard", STANDARD, "standard-webhooks"]]) {
  test(`${as}: the library takes what the relay signed, and nothing else`, async () => {
    const id = await world.send(BODY);
    const [got] = await world.arrived(path, id);
    assert.deepEqual(got.body, BODY);
    assert.equal(judge(got, keys[path]).id, "evt_1");
    assert.throws(() => judge(got, secret()), /signature/i);
    const changed = { ...got, body: Buffer.from(got.body.toString().replace("evt_1", "evt_2")) };
    assert.throws(() => judge(changed, keys[path]), /signature/i);
    assert.equal(got.headers["x-hub-signature-256"], undefined, "what the provider signed is gone");
  });
}

for (const [path, judge] of [["rolled", STRIPE], ["both", STANDARD]]) {
  test(`${path}: while a secret is replaced, the library takes either`, async () => {
    const [got] = await world.arrived(path, await world.send(BODY));
    for (const key of keys[path]) assert.equal(judge(got, key).id, "evt_1");
    assert.throws(() => judge(got, secret()), /signature/i);
  });
}

test("each attempt has a fresh timestamp, however old the event is", async () => {
  const id = await world.send(BODY, { stripe: [503], standard: [503] });
  const [first, second] = await world.arrived("stripe", id, 2);
  assert.ok(second.at - first.at > FRESH_S * 1000, "the second attempt is later than the tolerance");
  assert.equal(STRIPE(second, keys.stripe, FRESH_S).id, "evt_1");
  assert.throws(() => STRIPE(first, keys.stripe, FRESH_S), /tolerance/i);
  for (const got of await world.arrived("standard", id, 2)) {
    STANDARD(got, keys.standard);
    const age = got.at / 1000 - Number(got.headers["webhook-timestamp"]);
    assert.ok(age >= -1 && age < FRESH_S, `signed ${age} s before it came`);
  }
});
