#!/usr/bin/env bash
# Written by `agentkeys wire volcano-ark`: asks Ark's Responses API, with the authority as its tools.
# ARK_API_KEY and AGENTKEYS_TOKEN come from the environment; neither is in this file or shows in `ps`.
# Run it as: bash ark.sh
set -euo pipefail
: "${ARK_API_KEY:?set it to the Ark API key}" "${AGENTKEYS_TOKEN:?set it to the vendor token of AgentKeys}"
curl --silent --show-error --fail-with-body \
  --config <(printf 'header = "Authorization: Bearer %s"\n' "$ARK_API_KEY") \
  --header 'Content-Type: application/json' --header 'ark-beta-mcp: true' --data @- \
  "${ARK_BASE_URL:-{{ base_url }}}/responses" <<JSON
{{ body | heredoc }}
JSON
