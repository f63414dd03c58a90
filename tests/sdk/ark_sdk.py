"""Ark's own SDK, asking for a response with the MCP server as its tool. Prints, for each prompt given
as an argument after the server's URL, the response's items and what the SDK made of the usage."""

import json
import os
import sys

from volcenginesdkarkruntime import Ark

url, *prompts = sys.argv[1:]
ark = Ark(base_url=os.environ["ARK_BASE_URL"], api_key=os.environ["ARK_API_KEY"], max_retries=0)
tool = {
    "type": "mcp",
    "server_label": "agentkeys",
    "server_url": url,
    "headers": {
        "Authorization": f"Bearer {os.environ['MCP_TOKEN']}",
        "X-AgentKeys-Actor": os.environ["MCP_ACTOR"],
    },
    "require_approval": os.environ.get("ARK_APPROVAL", "never"),
}
out = {}
for prompt in prompts:
    response = ark.responses.create(
        model="doubao-seed-2-1-pro-260628",
        tools=[tool],
        input=[{"role": "user", "content": [{"type": "input_text", "text": prompt}]}],
    )
    out[prompt] = {
        "class": [type(item).__name__ for item in response.output],
        "output": [item.model_dump(mode="json") for item in response.output],
        "mcp_calls": response.usage.tool_usage.mcp,
    }
sys.stdout.buffer.write(json.dumps(out, ensure_ascii=False).encode())
