"""The calls every client makes, and the shape every client prints; `tests/it/sdk.rs` reads it."""

import json
import logging
import os
import pathlib
import re
import sys

# Whatever an SDK warns of goes to stderr, and the test wants that empty.
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)

CALLS = json.loads((pathlib.Path(__file__).parent / "calls.json").read_text("utf-8"))
MODE = sys.argv[2] if len(sys.argv) > 2 else ""
# A URL, or the program to start as JSON: `command`, `args`, `env`.
URL, PROGRAM = sys.argv[1], None
if URL.startswith("{"):
    URL, PROGRAM = None, json.loads(URL)
# Not arguments: everyone can list a process's arguments.
HEADERS = {
    "Authorization": f"Bearer {os.environ.get('MCP_TOKEN')}",
    "X-AgentKeys-Actor": os.environ.get("MCP_ACTOR"),
}


class Answers:
    def __init__(self, names):
        self.out = {"tools": names, "answers": {}}
        self.cap_id = None

    def arguments(self, call):
        """The call's arguments; a cap's id is known only once it is minted."""
        known = call["arguments"]
        return {k: self.cap_id if v == "$cap_id" else v for k, v in known.items()}

    def add(self, call, is_error, texts, structured):
        if len(texts) != 1:
            sys.exit(f"{call['as']}: {len(texts)} content blocks instead of one")
        answer = {"isError": is_error, "text": texts[0], "structured": structured}
        self.out["answers"][call["as"]] = answer
        if call["as"] == "mint":
            self.cap_id = re.search(r"cap_(?!id)[0-9A-Za-z-]+", texts[0]).group()

    def failed(self, call, code, message, data):
        answer = {"code": code, "message": message, "data": data}
        self.out["answers"][call["as"]] = answer

    def print(self, protocol, server):
        self.out |= {"protocol": protocol, "server": server}
        # Bytes, so that no locale has a say.
        sys.stdout.buffer.write(json.dumps(self.out, ensure_ascii=False).encode())
