"""Verifies a device's JWT as a vendor's backend would: PyJWT, and the published keys.

Takes the address of jwks.json; reads one JWT a line, and prints for each what it says, or which of
PyJWT's errors it is.
"""

import json
import sys

import jwt

keys = jwt.PyJWKClient(sys.argv[1])
for line in sys.stdin:
    text = line.strip()
    try:
        key = keys.get_signing_key_from_jwt(text)
        claims = jwt.decode(
            text,
            key.key,
            algorithms=["ES256"],
            audience="agentkeys",
            options={"require": ["iss", "sub", "aud", "iat", "exp", "jti"]},
        )
        header = jwt.get_unverified_header(text)
        print(json.dumps({"header": header, "claims": claims}))
    except jwt.PyJWTError as error:
        print(json.dumps({"error": type(error).__name__}))
