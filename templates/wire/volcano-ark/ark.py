"""Written by `agentkeys wire volcano-ark`: asks Ark's Responses API, with the authority as its tools.

Needs `pip install volcengine-ark-runtime`. ARK_API_KEY and AGENTKEYS_TOKEN come from the environment.
"""

import os

from volcenginesdkarkruntime import Ark

TOOL = {{ tool }}
TOOL["headers"]["Authorization"] = f"Bearer {os.environ['AGENTKEYS_TOKEN']}"

ark = Ark(
    base_url=os.environ.get("ARK_BASE_URL", "{{ base_url }}"),
    api_key=os.environ["ARK_API_KEY"],
)
# Ark keeps no headers: send the tool again with every turn.
response = ark.responses.create(
    model="{{ model }}",
    tools=[TOOL],
    input=[{"role": "user", "content": [{"type": "input_text", "text": "{{ question }}"}]}],
)
for item in response.output:
    print(item.model_dump_json(exclude_none=True))
