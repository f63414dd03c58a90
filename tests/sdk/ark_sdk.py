"""One of Ark's own SDKs, doing what a plan on standard input says; standard output tells what it made of
each answer.

A plan is a JSON list of steps {"as", "do": create | stream | retrieve | delete, "with": {…}}. In "with",
"$NAME" is the id of an earlier step's response, and "$NAME?" that of the approval it asks for."""

import asyncio
import inspect
import json
import os
import sys
from importlib import import_module

sdk = import_module(os.environ["ARK_SDK"])
ark = (sdk.AsyncArk if "ARK_ASYNC" in os.environ else sdk.Ark)(
    base_url=os.environ["ARK_BASE_URL"], api_key=os.environ["ARK_API_KEY"], max_retries=0
)
responses = {}


def filled(value):
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    response = responses[value[1:].rstrip("?")]
    if not value.endswith("?"):
        return response.id
    return next(item.id for item in response.output if item.type == "mcp_approval_request")


def told(response):
    out = {
        "class": [type(item).__name__ for item in response.output],
        "response": response.model_dump(mode="json"),
    }
    usage = response.usage
    if usage is not None and getattr(usage, "tool_usage", None) is not None:
        out["mcp_calls"] = usage.tool_usage.mcp
    return out


async def read(stream):
    """All events, whichever kind of iteration the SDK has."""
    if hasattr(stream, "__aiter__"):
        return [event async for event in stream]
    return list(stream)


async def do(step):
    call = ark.responses.create if step["do"] in ("create", "stream") else getattr(ark.responses, step["do"])
    arguments = filled(step["with"])
    if step["do"] == "stream":
        arguments["stream"] = True
    answer = call(**arguments)
    if inspect.isawaitable(answer):
        answer = await answer
    if step["do"] == "delete":
        return {"deleted": answer}
    if step["do"] != "stream":
        responses[step["as"]] = answer
        return told(answer)
    events = await read(answer)
    whole = {}
    for event in events:
        if event.type.endswith(".delta"):
            whole[event.type] = whole.get(event.type, "") + event.delta
    responses[step["as"]] = events[-1].response
    return {
        "events": [event.type for event in events],
        "event_classes": [type(event).__name__ for event in events],
        "whole": whole,
        **told(events[-1].response),
    }


async def main():
    out = {}
    for step in json.load(sys.stdin):
        try:
            out[step["as"]] = await do(step)
        # Each SDK has classes of its own, and what is told of them is what a caller would look at.
        except sdk._exceptions.ArkAPIError as error:
            seen = {"class": type(error).__name__, "message": error.message}
            for field in ("status_code", "code", "param", "type", "request_id"):
                seen[field] = getattr(error, field, None)
            out[step["as"]] = {"error": seen}
    sys.stdout.buffer.write(json.dumps(out, ensure_ascii=False).encode())


asyncio.run(main())
