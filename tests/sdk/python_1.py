"""The Python SDK as xiaozhi-server pins and uses it (`core/providers/tools/server_mcp`)."""

import asyncio
from datetime import timedelta

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client

from plan import CALLS, HEADERS, URL, Answers


async def progress(*_):
    """xiaozhi passes one, which puts a `progressToken` into every call."""


async def main():
    async with (
        streamablehttp_client(URL, headers=HEADERS) as (read, write, _),
        ClientSession(read, write, read_timeout_seconds=timedelta(seconds=15)) as session,
    ):
        hello = await session.initialize()
        listed = await session.list_tools()
        answers = Answers([t.name for t in listed.tools])
        for call in CALLS:
            try:
                result = await session.call_tool(
                    call["tool"],
                    arguments=answers.arguments(call),
                    progress_callback=progress,
                )
            except McpError as e:
                answers.failed(call, e.error.code, e.error.message, e.error.data)
                continue
            texts = [block.text for block in result.content]
            answers.add(call, result.isError, texts, result.structuredContent)
        answers.print(str(hello.protocolVersion), hello.serverInfo.name)


asyncio.run(main())
