"""A settings file as xiaozhi-server reads it (`mcp_manager.py`, `mcp_client.py`), with the SDK that it pins:
each server of the file is connected to, and its tools are listed. Prints the tools by the entry's name."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main(path):
    with open(path, encoding="utf-8") as file:
        servers = json.load(file)["mcpServers"]
    out = {}
    for name, entry in servers.items():
        if "command" in entry:
            continue
        if entry.get("transport", "sse") not in ("streamable-http", "http"):
            sys.exit(f"{name} would be taken for SSE")
        headers = dict(entry.get("headers", {}))
        async with (
            streamablehttp_client(url=entry["url"], headers=headers, timeout=entry.get("timeout", 30)) as (r, w, _),
            ClientSession(r, w) as session,
        ):
            await session.initialize()
            out[name] = [tool.name for tool in (await session.list_tools()).tools]
    print(json.dumps(out))


asyncio.run(main(sys.argv[1]))
