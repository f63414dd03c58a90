"""Opens a keys file of ours with another implementation of age, looks at what is in it, and encrypts the
same again: age_file.py KEYS PASSPHRASE_FILE OUT"""

import io
import json
import sys
import tarfile

import pyrage

keys, passphrase, out = sys.argv[1:]
with open(passphrase, encoding="utf-8") as file:
    passphrase = file.read().rstrip("\n")
with open(keys, "rb") as file:
    plain = pyrage.passphrase.decrypt(file.read(), passphrase)
with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
    assert tar.getnames() == ["keys.json", "salts.jsonl"], tar.getnames()
    head = json.load(tar.extractfile("keys.json"))
    assert head["format"] == 1 and len(bytes.fromhex(head["root_key"])) == 32
    salts = [json.loads(line) for line in tar.extractfile("salts.jsonl")]
    assert all(len(bytes.fromhex(salt["salt"])) == 32 for salt in salts) and salts
with open(out, "wb") as file:
    file.write(pyrage.passphrase.encrypt(plain, passphrase))
