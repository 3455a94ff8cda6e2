// What a body is, and how it can be read: JSON with its white space anew, a form's fields, text, or bytes.
//
// Nothing is parsed and written again: numbers keep their digits, keys their order and their repeats. Pure; no element is made.

/** Characters of text, and bytes in hex, that are shown. More would make the browser slow; the file has it all. */
const TEXT_MAX = 256 * 1024;
const HEX_MAX = 16 * 1024;

const HEX_ROW = 16;

/** The ways in which these bytes can be read: `{ name, text, cut }` each, the best one first. */
export function readings(bytes, contentType) {
  const found = [];
  const text = decoded(bytes);
  if (text !== null) {
    const json = isJson(text) ? indented(text) : null;
    if (json !== null) found.push(reading("JSON", json));
    else if (/^application\/x-www-form-urlencoded/i.test(contentType ?? "")) found.push(reading("Fields", fields(text)));
    found.push(reading("Text", text));
  }
  found.push({ name: "Hex", text: hex(bytes.subarray(0, HEX_MAX)), cut: Math.max(0, bytes.length - HEX_MAX) });
  return found;
}

function reading(name, text) {
  return { name, text: text.slice(0, TEXT_MAX), cut: Math.max(0, text.length - TEXT_MAX) };
}

/** The text, or null where it is none. A mark of the byte order stays, since it is part of the body. */
function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function isJson(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** JSON, which the text must be, with a line for each member and the characters of each value as they were. */
export function indented(text) {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs) ?? [];
  const [lines, line] = [[], []];
  let depth = 0;
  const end = () => {
    lines.push(line.join(""));
    line.length = 0;
    line.push("  ".repeat(depth));
  };
  tokens.forEach((token, at) => {
    const [before, after] = [tokens[at - 1], tokens[at + 1]];
    if (token === "{" || token === "[") {
      line.push(token);
      depth += 1;
      if (after !== "}" && after !== "]") end();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      if (before !== "{" && before !== "[") end();
      line.push(token);
    } else if (token === ",") {
      line.push(token);
      end();
    } else {
      line.push(token === ":" ? ": " : token);
    }
  });
  lines.push(line.join(""));
  return lines.join("\n");
}

/** A form's fields, a line each; JSON in one (as Slack and GitHub send it) is indented. */
function fields(text) {
  const lines = [...new URLSearchParams(text)].map(([name, value]) => `${name} = ${isJson(value) ? indented(value) : value}`);
  return lines.join("\n");
}

/** Offset, bytes, and what of them is ASCII. */
function hex(bytes) {
  const rows = [];
  for (let at = 0; at < bytes.length; at += HEX_ROW) {
    const row = [...bytes.subarray(at, at + HEX_ROW)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(HEX_ROW * 3 - 1);
    const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    rows.push(`${at.toString(16).padStart(6, "0")}  ${digits}  ${text}`);
  }
  return rows.join("\n");
}
