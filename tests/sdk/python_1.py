"""The Python SDK's v1 line: as xiaozhi-server pins and uses it (`core/providers/tools/server_mcp`), and
its first version that speaks streamable HTTP."""

import asyncio
import inspect
from datetime import timedelta

from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

from plan import CALLS, HEADERS, PROGRAM, URL, Answers


async def progress(*_):
    """xiaozhi passes one, which puts a `progressToken` into every call."""


more = {}
if "progress_callback" in inspect.signature(ClientSession.call_tool).parameters:
    more["progress_callback"] = progress


def connect():
    if PROGRAM:
        return stdio_client(StdioServerParameters(**PROGRAM))
    return streamablehttp_client(URL, headers=HEADERS)


async def main():
    async with (
        connect() as (read, write, *_),
        ClientSession(read, write, read_timeout_seconds=timedelta(seconds=15)) as session,
    ):
        hello = await session.initialize()
        listed = await session.list_tools()
        answers = Answers([t.name for t in listed.tools])
        for call in CALLS:
            try:
                result = await session.call_tool(
                    call["tool"], arguments=answers.arguments(call), **more
                )
            except McpError as e:
                answers.failed(call, e.error.code, e.error.message, e.error.data)
                continue
            texts = [block.text for block in result.content]
            # The oldest have no such field and keep it all the same.
            structured = getattr(result, "structuredContent", None)
            answers.add(call, result.isError, texts, structured)
        answers.print(str(hello.protocolVersion), hello.serverInfo.name)


asyncio.run(main())
