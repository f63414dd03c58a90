// The TypeScript SDK's v1 line, which most hosts embed; the mode `oldest` is its first version that
// speaks streamable HTTP.

import { play, program, requestInit, sdk, url } from "./plan.mjs";

const { Client } = sdk("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = sdk("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = sdk("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { McpError } = sdk("@modelcontextprotocol/sdk/types.js");

const client = new Client({ name: "agentkeys-sdk-test", version: "1.0.0" });
const transport = program
  ? new StdioClientTransport(program)
  : new StreamableHTTPClientTransport(url, { requestInit });
// The client tells its transport what was agreed on; the oldest keeps that to itself.
let agreed = null;
const tell = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  agreed = version;
  tell?.(version);
};
await client.connect(transport);
await play(client, (e) => e instanceof McpError, () => agreed);
