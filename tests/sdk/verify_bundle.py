#!/usr/bin/env python3
"""Verifies audit bundles; written from docs/audit.md alone, and from the standards it names.

Usage: verify_bundle.py [--trust-key KEY]... FILE...    Exit 0 when all of them hold, else 7.
"""

import base64
import hashlib
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def need(holds, why):
    if not holds:
        raise ValueError(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def number(text, most=2**64 - 1):
    need(re.fullmatch("0|[1-9][0-9]{0,19}", text) and int(text) <= most, "number")
    return int(text)


def b64(text, length=None):
    data = base64.b64decode(text.encode("ascii"), validate=True)
    need(base64.b64encode(data).decode() == text and length in (None, len(data)), "base64")
    return data


def key(text):
    name, key_id, data = re.fullmatch(r"([!-*,-~]{1,255})\+([0-9a-f]{8})\+(.+)", text).groups()
    data = b64(data, 33)
    need(data[0] == 1 and sha256(name.encode(), b"\n", data)[:4].hex() == key_id, "key id")
    return name, bytes.fromhex(key_id), data[1:]


def climb(fn, sn, start, path):
    """RFC 9162 2.1.3.2 and 2.1.4.2, which walk alike: the older root and the newer one."""
    old = new = start
    for p in path:
        need(sn != 0, "proof too long")
        if fn & 1 or fn == sn:
            old, new = sha256(b"\1", p, old), sha256(b"\1", p, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = sha256(b"\1", new, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "proof too short")
    return old, new


def consistency(first, first_root, second, proof):
    need(proof, "consistency proof empty")
    path = ([first_root] if first & (first - 1) == 0 else []) + proof
    whole = (first & -first).bit_length() - 1
    return climb((first - 1) >> whole, (second - 1) >> whole, path[0], path[1:])


def note(lines, keys):
    """The lines of text of a signed note, and which keys sign it."""
    at = len(lines) - 1 - lines[::-1].index("")
    text, signers = lines[:at], []
    need(1 <= len(lines) - at - 1 <= 16, "signature lines")
    for line in lines[at + 1 :]:
        name, blob = re.fullmatch("— ([!-*,-~]+) ([^ ]+)", line).groups()
        blob = b64(blob)
        signer = next(k for k in keys if k[:2] == (name, blob[:4]))
        need(signer not in signers, "signed twice")
        Ed25519PublicKey.from_public_bytes(signer[2]).verify(blob[4:], ("\n".join(text) + "\n").encode())
        signers.append(signer)
    return text, signers


def checkpoint(text):
    need(len(text) == 3, "checkpoint lines")
    return text[0], number(text[1], 2**63 - 1), b64(text[2], 32)


SHAPE = ("seq,envelope,(inclusion,){0,64}(checkpoint,){5,64}"
         "((newer,){5,64}(consistency,){0,64})?((anchor,){12,64})?(key,){1,16}")
ANCHOR = ["agentkeys anchor v1", "origin (.*)", "chain (.*)", "contract 0x[0-9a-f]{40}", "transaction 0x[0-9a-f]{64}",
          "block (.*)", "operator 0x[0-9a-f]{64}", "root 0x([0-9a-f]{64})", "entries (.*)", "kinds 0x[0-9a-f]{64}"]


def verify(data, trusted):
    before, last = data[:-72], data[-72:]
    need(last == b"sha256 " + sha256(before).hex().encode() + b"\n", "sha256")
    lines = before.decode("utf-8").split("\n")
    need(len(data) <= 2**20 and lines[0] == "agentkeys audit bundle v1" and lines.pop() == "", "file")
    pairs = [line.partition(" ") for line in lines[1:]]
    need(re.fullmatch(SHAPE, "".join(name + "," for name, _, _ in pairs)), "fields")
    need(all(bool(space) == bool(value) for _, space, value in pairs), "spaces")
    fields = {}
    for name, _, value in pairs:
        fields.setdefault(name, []).append(value)
    need(fields["key"] == sorted(set(fields["key"])), "keys not in order")
    keys = [key(text) for text in fields["key"]]
    notes = {n: note(fields[n], keys) for n in ("checkpoint", "newer", "anchor") if n in fields}
    need(all(any(k in signers for _, signers in notes.values()) for k in keys), "a key signs nothing")
    if trusted:
        need(all(any(k in signers for k in trusted) for _, signers in notes.values()), "not a trusted key")

    seq, envelope = number(fields["seq"][0]), b64(fields["envelope"][0])
    need(1 <= len(envelope) <= 2**18, "envelope")
    origin, size, root = checkpoint(notes["checkpoint"][0])
    need(all(name == origin for name, _, _ in keys), "a key of another log")
    need(seq < size, "seq")
    proof = [b64(h, 32) for h in fields.get("inclusion", [])]
    need(climb(seq, size - 1, sha256(b"\0", envelope), proof)[1] == root, "inclusion")
    roots = [(size, root)]
    if "newer" in notes:
        name, later, new_root = checkpoint(notes["newer"][0])
        need(name == origin and later > size, "newer")
        proof = [b64(h, 32) for h in fields.get("consistency", [])]
        need(consistency(size, root, later, proof) == (root, new_root), "consistency")
        roots.append((later, new_root))
    if "anchor" in notes:
        text = notes["anchor"][0]
        need(len(text) == len(ANCHOR), "anchor lines")
        _, name, chain, _, _, block, _, hexed, entries, _ = [re.fullmatch(*pair) for pair in zip(ANCHOR, text)]
        number(chain[1]), number(block[1])
        need(name[1] == origin and (number(entries[1]), bytes.fromhex(hexed[1])) in roots, "anchor")
    return f"entry {seq} of {size} of {origin}"


def main(words):
    trusted, bad = [], 0
    while words and words[0] == "--trust-key":
        trusted.append(key(words[1]))
        words = words[2:]
    pinned = "" if trusted else ", under a key you have not pinned"
    for path in words:
        try:
            print(f"{path}: holds: {verify(Path(path).read_bytes(), trusted)}{pinned}")
        except (ValueError, TypeError, AttributeError, StopIteration, InvalidSignature) as error:
            print(f"{path}: proves nothing: {error!r}")
            bad += 1
    return 7 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
