// The TypeScript SDK's v2 client; the mode is `legacy` (its default), `auto` or a version to insist on.

import { mode, play, program, requestInit, sdk, url } from "./plan.mjs";

const { Client, ProtocolError, StreamableHTTPClientTransport } = sdk("@modelcontextprotocol/client");
const { StdioClientTransport } = sdk("@modelcontextprotocol/client/stdio");

const client = new Client(
  { name: "agentkeys-sdk-test", version: "1.0.0" },
  { versionNegotiation: { mode: ["legacy", "auto"].includes(mode) ? mode : { pin: mode } } },
);
const transport = program
  ? new StdioClientTransport(program)
  : new StreamableHTTPClientTransport(url, { requestInit });
await client.connect(transport);
await play(client, (e) => e instanceof ProtocolError, () => client.getNegotiatedProtocolVersion());
