"""The newest Python SDK; the mode is `auto` (its default: 2026-07-28 if the server can) or `legacy`."""

import asyncio

from mcp import Client, MCPError
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

from plan import CALLS, HEADERS, MODE, URL, Answers


async def main():
    async with create_mcp_http_client(headers=HEADERS) as http:
        transport = streamable_http_client(URL, http_client=http)
        async with Client(transport, mode=MODE, read_timeout_seconds=15) as client:
            listed = await client.list_tools()
            answers = Answers([t.name for t in listed.tools])
            for call in CALLS:
                try:
                    result = await client.call_tool(call["tool"], answers.arguments(call))
                except MCPError as e:
                    answers.failed(call, e.code, e.message, e.data)
                    continue
                texts = [block.text for block in result.content]
                answers.add(call, result.is_error, texts, result.structured_content)
            answers.print(client.protocol_version, client.server_info.name)


asyncio.run(main())
