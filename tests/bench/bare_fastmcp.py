"""A FastMCP server with one tool that does nothing: stateless, JSON answers.

Takes `fastmcp` when it is there, else the FastMCP of the SDK `mcp` 1.x.
"""

import importlib.metadata
import json
import logging
import socket

import uvicorn

try:
    from fastmcp import FastMCP

    name = "fastmcp " + importlib.metadata.version("fastmcp")
    server = FastMCP("bare")
    app = None
except ImportError:
    from mcp.server.fastmcp import FastMCP

    name = "mcp " + importlib.metadata.version("mcp") + " FastMCP"
    server = FastMCP("bare", stateless_http=True, json_response=True)
    app = server.streamable_http_app


@server.tool()
def nothing() -> str:
    """Does nothing."""
    return "nothing done"


if app is None:
    asgi = server.http_app(path="/mcp", stateless_http=True, json_response=True)
else:
    asgi = app()
logging.disable(logging.CRITICAL)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
port = listener.getsockname()[1]
config = uvicorn.Config(asgi, log_level="critical", access_log=False)


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        ready = {"mcp_url": f"http://127.0.0.1:{port}/mcp", "name": name}
        print(json.dumps(ready), flush=True)


Server(config).run(sockets=[listener])
