// How bodies are read: in white space only may what shows differ from what came.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

// The module is made for browsers and has no imports; its folder has no package.json, for there is no build.
const source = readFileSync(new URL("../../src/admin/dashboard/assets/body.js", import.meta.url));
const { indented, readings } = await import(`data:text/javascript;base64,${source.toString("base64")}`);

const bytes = (text) => new TextEncoder().encode(text);
const first = (text, type) => readings(bytes(text), type)[0];

/** The tokens of JSON, without the space between them. */
const tokens = (text) => text.match(/"(?:[^"\\]|\\.)*"|[^\s"]/g).join("");

test("JSON is indented, and keeps every character", () => {
  const samples = [
    `{}`, `[]`, ` [ [ ] , { } ] `, `{"a":1,"a":2}`, `[1e400,-0.0,12345678901234567890,1.10]`, `{"\\"}{[":"\\\\","b":["],[",{"c":null}]}`,
    `{"__proto__":{"x":true},"constructor":false}`, `["\u2028","\\u0000","🦊"]`, `{\r\n\t"a"\r\n:\t[1\n,2]}`,
  ];
  for (const sample of samples) {
    const shown = indented(sample);
    assert.equal(tokens(shown), tokens(sample));
    assert.equal(indented(shown), shown, "it is stable");
    assert.deepEqual(JSON.parse(shown), JSON.parse(sample));
  }
  assert.equal(indented(`{"a":[1,{}],"b":[]}`), `{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}`);
});

test("a body is read as what it is, not as what it says that it is", () => {
  assert.equal(first(`{"a":1}`, "text/html").name, "JSON");
  assert.equal(first(`{"a":1`, "application/json").name, "Text");
  assert.equal(first(`"just text"`, "application/json").name, "Text");
  const form = first("a=1+2&b=%7B%7D&a=3", "application/x-www-form-urlencoded; charset=utf-8");
  assert.deepEqual(form, { name: "Fields", text: "a = 1 2\nb = {}\na = 3", cut: 0 });
  assert.deepEqual(readings(new Uint8Array([0xff, 0x00, 0x41]), "application/json").map((way) => way.name), ["Hex"]);
  assert.equal(first("\ufeff{}").text, "\ufeff{}", "a mark of the byte order stays");
});

test("what is shown is bounded", () => {
  const [text, hex] = readings(bytes("x".repeat(1_000_000)));
  assert.deepEqual([text.text.length, text.cut], [262_144, 737_856]);
  assert.deepEqual([hex.text.split("\n").length, hex.cut], [1024, 983_616]);
  assert.equal(readings(bytes("0123456789abcdefX"))[1].text.split("\n")[1], `000010  58${" ".repeat(45)}  X`);
});

test("deep and broken bodies are only text", () => {
  const deep = "[".repeat(200_000);
  assert.equal(first(deep).name, "Text");
  const nested = "[".repeat(3000) + "]".repeat(3000);
  assert.ok(["JSON", "Text"].includes(first(nested).name));
});
