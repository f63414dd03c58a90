"""Made fixtures/anchor/transactions.jsonl with eth-account 0.14.0 (pip install eth-account==0.14.0).

A line is a transaction of type 2 (EIP-1559) and what that library makes of it: the bytes and the
hash. The cases are the places where an encoder goes wrong: numbers that are zero, one byte below and
above 0x80, and as large as they come; data around the 55 bytes where a string's head grows; both
parities; and signatures whose r or s is shorter than 32 bytes.
"""

import json

from eth_account import Account

USUAL = {
    "chain_id": 1,
    "nonce": 7,
    "max_priority_fee": 1_500_000_000,
    "max_fee": 30_000_000_000,
    "gas_limit": 60_000,
    "to": "0x" + "40" * 20,
    "data": "",
}
SECRET = "0x" + "00" * 31 + "01"


def made(secret=SECRET, **changes):
    fields = USUAL | changes
    signed = Account.sign_transaction(
        {
            "type": 2,
            "chainId": fields["chain_id"],
            "nonce": fields["nonce"],
            "maxPriorityFeePerGas": fields["max_priority_fee"],
            "maxFeePerGas": fields["max_fee"],
            "gas": fields["gas_limit"],
            "to": fields["to"],
            "value": 0,
            "data": "0x" + fields["data"],
        },
        secret,
    )
    wei = {name: str(fields[name]) for name in ("max_priority_fee", "max_fee")}
    raw = signed.raw_transaction.hex().removeprefix("0x")
    hashed = signed.hash.hex().removeprefix("0x")
    return signed, fields | wei | {"secret": secret, "raw": raw, "hash": hashed}


def first(wanted, **changes):
    """The first nonce whose signature is as wanted."""
    return next(
        line
        for signed, line in (made(nonce=n, **changes) for n in range(100_000))
        if wanted(signed)
    )


root = "bcfe3f8d" + "11" * 32 + "22" * 32 + "80".ljust(60, "0") + "0401" + "07".rjust(64, "0")
cases = [made()[1], made(data=root)[1], made(data=root, secret="0x" + "ab" * 32)[1]]
cases += [made(nonce=n)[1] for n in (0, 1, 127, 128, 255, 256, 2**32, 2**64 - 2)]
cases += [made(chain_id=c)[1] for c in (31337, 212013, 2**53)]
cases += [made(gas_limit=g)[1] for g in (0, 21_000, 2**40)]
cases += [made(max_fee=f, max_priority_fee=p)[1] for f, p in ((0, 0), (1, 1), (2**100, 2**90), (2**128 - 1, 1))]
cases += [made(data=d)[1] for d in ("00", "7f", "80", "ff", "ab" * 54, "ab" * 55, "ab" * 56, "ab" * 255, "ab" * 256, "ab" * 2000)]
short = 1 << 248
cases += [
    first(lambda s: s.v == 0),
    first(lambda s: s.v == 1),
    first(lambda s: s.r < short),
    first(lambda s: s.s < short),
    first(lambda s: s.r < short, data=root),
    first(lambda s: s.s < short, data=root),
]
for case in cases:
    print(json.dumps(case))
