// The calls every client makes, and the shape every client prints; `tests/it/sdk.rs` reads it.

import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

export const mode = process.argv[3];

/** Loads a module of the pinned SDKs; each age of them lives in a folder of its own. */
const folder = mode === "oldest" ? "agentkeys-sdk-oldest" : "agentkeys-sdk";
export const sdk = createRequire(new URL(`../../node_modules/${folder}/`, import.meta.url));

// A URL, or the program to start as JSON: `command`, `args`, `env`.
const target = process.argv[2];
export const program = target.startsWith("{") ? JSON.parse(target) : undefined;
export const url = program ? undefined : new URL(target);

// The token is not an argument: everyone can list a process's arguments.
export const requestInit = {
  headers: {
    Authorization: `Bearer ${process.env.MCP_TOKEN}`,
    "X-AgentKeys-Actor": process.env.MCP_ACTOR,
  },
};

const calls = JSON.parse(readFileSync(new URL("calls.json", import.meta.url), "utf8"));

/** Lists, calls everything and prints. A thrown JSON-RPC error is an answer; all else is a failure. */
export async function play(client, isProtocolError, protocol) {
  const { tools } = await client.listTools();
  const answers = {};
  let capId;
  for (const call of calls) {
    const args = Object.entries(call.arguments).map(([k, v]) => [k, v === "$cap_id" ? capId : v]);
    let result;
    try {
      result = await client.callTool({ name: call.tool, arguments: Object.fromEntries(args) });
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      answers[call.as] = { code: error.code, message: error.message, data: error.data ?? null };
      continue;
    }
    if (result.content.length !== 1) throw new Error(`${call.as}: not one content block`);
    const text = result.content[0].text;
    const structured = result.structuredContent ?? null;
    answers[call.as] = { isError: result.isError ?? false, text, structured };
    if (call.as === "mint") capId = text.match(/cap_(?!id)[0-9A-Za-z-]+/)[0];
  }
  const server = client.getServerVersion().name;
  const out = { tools: tools.map((t) => t.name), answers, protocol: protocol(), server };
  await client.close();
  writeSync(1, JSON.stringify(out));
}
