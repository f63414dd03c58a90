"""xiaozhi-server's side of its MCP endpoint, on the library it uses: what it sends and in which order, and
what it takes of an answer (`core/providers/tools/mcp_endpoint`, `formats/xiaozhi.md` §3)."""

import asyncio
import json
import os
import sys

import websockets

from plan import CALLS, URL, Answers


class Endpoint:
    def __init__(self, socket):
        self.socket = socket
        self.waiting = {}
        self.hello = asyncio.Future()
        self.tools = asyncio.Future()
        self.listener = asyncio.create_task(self.listen())

    async def listen(self):
        try:
            async for message in self.socket:
                self.take(json.loads(message))
            closed = self.socket.protocol
            sys.exit(f"closed: {closed.close_code} {closed.close_reason}")
        except websockets.exceptions.ConnectionClosed as e:
            sys.exit(f"closed: {e.rcvd.code} {e.rcvd.reason}")

    def take(self, answer):
        """Calls count from 1 again, so whoever waits for a number goes first."""
        number = int(answer["id"])
        if number in self.waiting:
            self.waiting.pop(number).set_result(answer)
        elif number == 1:
            self.hello.set_result(answer["result"])
        elif number == 2:
            self.tools.set_result(answer["result"]["tools"])

    async def send(self, method, number=None, **more):
        message = {"jsonrpc": "2.0", "method": method, **more}
        if number is not None:
            message["id"] = number
        await self.socket.send(json.dumps(message))

    async def open(self):
        """Three messages, and no waiting in between."""
        capabilities = {"roots": {"listChanged": True}, "sampling": {}}
        client = {"name": "XiaozhiMCPEndpointClient", "version": "1.0.0"}
        hello = {"protocolVersion": "2024-11-05", "capabilities": capabilities, "clientInfo": client}
        await self.send("initialize", 1, params=hello)
        await self.send("notifications/initialized", params={})
        await self.send("tools/list", 2)
        return await self.hello, await self.tools

    async def call(self, number, tool, arguments):
        self.waiting[number] = answer = asyncio.Future()
        await self.send("tools/call", number, params={"name": tool, "arguments": arguments})
        return await asyncio.wait_for(answer, 30)


async def main():
    # A path and a query are all that this protocol has.
    async with websockets.connect(f"{URL}?token={os.environ['MCP_TOKEN']}") as socket:
        endpoint = Endpoint(socket)
        hello, tools = await endpoint.open()
        answers = Answers([t["name"] for t in tools])
        for number, call in enumerate(CALLS, 1):
            answer = await endpoint.call(number, call["tool"], answers.arguments(call))
            if "error" in answer:
                error = answer["error"]
                answers.failed(call, error["code"], error["message"], error.get("data"))
                continue
            result = answer["result"]
            texts = [block["text"] for block in result["content"]]
            answers.add(call, result["isError"], texts, result.get("structuredContent"))
        endpoint.listener.cancel()
        answers.print(hello["protocolVersion"], hello["serverInfo"]["name"])


asyncio.run(main())
