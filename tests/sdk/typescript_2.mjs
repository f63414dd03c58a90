// The TypeScript SDK's v2 client; the mode is `legacy` (its default), `auto` or a version to insist on.

import { mode, play, requestInit, sdk, url } from "./plan.mjs";

const { Client, ProtocolError, StreamableHTTPClientTransport } = sdk("@modelcontextprotocol/client");

const client = new Client(
  { name: "agentkeys-sdk-test", version: "1.0.0" },
  { versionNegotiation: { mode: ["legacy", "auto"].includes(mode) ? mode : { pin: mode } } },
);
await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
await play(client, (e) => e instanceof ProtocolError, () => client.getNegotiatedProtocolVersion());
