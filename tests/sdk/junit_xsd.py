"""Validates a JUnit report: the schema's file, then the report's. Exit 1 says what is wrong."""

import sys

from lxml import etree

schema = etree.XMLSchema(etree.parse(sys.argv[1]))
if not schema.validate(etree.parse(sys.argv[2])):
    print(schema.error_log)
    sys.exit(1)
