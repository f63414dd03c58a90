// The TypeScript SDK's v1 line, which most hosts embed.

import { play, requestInit, sdk, url } from "./plan.mjs";

const { Client } = sdk("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = sdk("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { McpError } = sdk("@modelcontextprotocol/sdk/types.js");

const client = new Client({ name: "agentkeys-sdk-test", version: "1.0.0" });
const transport = new StreamableHTTPClientTransport(url, { requestInit });
await client.connect(transport);
await play(client, (e) => e instanceof McpError, () => transport.protocolVersion);
