"""The newest Python SDK; the mode is `auto` (its default: 2026-07-28 if the server can) or `legacy`."""

import asyncio
from contextlib import AsyncExitStack

from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

from plan import CALLS, HEADERS, MODE, PROGRAM, URL, Answers


async def main():
    async with AsyncExitStack() as stack:
        if PROGRAM:
            transport = stdio_client(StdioServerParameters(**PROGRAM))
        else:
            http = await stack.enter_async_context(create_mcp_http_client(headers=HEADERS))
            transport = streamable_http_client(URL, http_client=http)
        client = Client(transport, mode=MODE, read_timeout_seconds=15)
        client = await stack.enter_async_context(client)
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
