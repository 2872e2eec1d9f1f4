#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of scripts/requirements: a small tree with a good table, and each way to break it."""

import contextlib
import io
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

sys.dont_write_bytecode = True
PATH = Path(__file__).resolve().parents[2] / "scripts/requirements"
SPEC = spec_from_loader("requirements", SourceFileLoader("requirements", str(PATH)))
requirements = module_from_spec(SPEC)
SPEC.loader.exec_module(requirements)

TABLE = """\
.. list-table::
   :header-rows: 1

   * - Number
     - Requirement
     - Code
     - Shown by

   * - 4.1-1 MUST
     - One option at
       most.
     - ``proto/eno.rs:respond``,
       ``include/uapi/eno.h:ENO_KIND``
     - ``negotiation.py:one_option``, ``roles.rs:two_options``
   * - 4.1-2 MUST NOT
     - Two.
     - none
     - As 4.1-1.
   * - 5-1 MAY
     - Other things.
     - ``proto/eno.rs``
     - Not ours: it is for others.

After it.
"""

FILES = {
    "rust/proto/eno.rs": "pub(crate) fn respond(a: u8) {}\n",
    "include/uapi/eno.h": "#define ENO_KIND 69\n",
    "selftests/negotiation.py": (
        "@test(family=(4, 6),\n      aead=1)\ndef one_option(family): pass\n\n@test\ndef other(): pass\n\ndef helper(): pass\n"
    ),
    "tests/proto/tests/roles.rs": "#[test]\nfn two_options() {}\nfn helper() {}\n",
    "build/check/selftests.log": (
        "ok 1 - negotiation: one_option [family=4]\nok 2 - negotiation: one_option [family=6]\nok 3 - negotiation: other # SKIP no\n"
    ),
    "build/check/proto.log": "     Running tests/roles.rs (target/debug/deps/roles-1)\ntest two_options ... ok\n",
}

RFC = """\
   1.  Introduction ... 1
1.  Introduction
   Nothing.
2.  Language
   MUST and MAY are to be interpreted as described in
   BCP 14.
4.1.  Option
   It MUST and it MUST
   NOT.
5.  TEPs
   It MAY.
"""


class Requirements(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.top = Path(self.directory.name)
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path, text):
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        (self.top / path).write_text(text)

    def run_on(self, table, *arguments):
        self.write("Documentation/rfc1.rst", table)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = requirements.main(list(arguments), self.top)
        return status, out.getvalue()

    def refused(self, message, old="", new="", rfc=None):
        self.assertIn(old, TABLE)
        arguments = []
        if rfc:
            self.write("rfc.txt", rfc)
            arguments = ["--rfc", str(self.top / "rfc.txt")]
        status, out = self.run_on(TABLE.replace(old, new, 1) if old else TABLE, *arguments)
        self.assertEqual(status, 1, out)
        self.assertIn(message, out)

    def test_good_table(self):
        self.write("rfc.txt", RFC)
        status, out = self.run_on(TABLE, "--rfc", str(self.top / "rfc.txt"))
        self.assertEqual((status, out), (0, "rfc1.rst: 3 rows, 0 problems\n"))

    def test_code_that_is_not_there(self):
        self.refused("no such file: proto/gone.rs:respond", "proto/eno.rs:respond", "proto/gone.rs:respond")
        self.refused("not defined in rust/proto/eno.rs: answer", "proto/eno.rs:respond", "proto/eno.rs:answer")
        self.refused("not defined in include/uapi/eno.h: ENO", ":ENO_KIND", ":ENO")
        self.refused("names no code", "     - none", "     - somewhere")

    def test_test_that_is_not_there(self):
        self.refused("no such file of tests", "negotiation.py", "gone.py")
        self.refused("no such test: negotiation.py:helper", "py:one_option", "py:helper")
        self.refused("no such test: roles.rs:helper", "rs:two_options", "rs:helper")
        self.refused("no such file of tests: two_options", "``roles.rs:two_options``", "``two_options``")

    def test_test_that_did_not_pass(self):
        self.refused("skipped when it was last run: negotiation.py:other", "py:one_option", "py:other")
        log = FILES["build/check/selftests.log"]
        self.write("build/check/selftests.log", log.replace("ok 2", "not ok 2"))
        self.refused("failed when it was last run: negotiation.py:one_option")
        self.write("build/check/selftests.log", log.replace("family=6]", "family=6] # SKIP no IPv6"))
        self.refused("skipped when it was last run: negotiation.py:one_option")
        self.write("build/check/selftests.log", "")
        self.refused("not run: negotiation.py:one_option")

    def test_host_test_that_did_not_pass(self):
        for said, message in (("ignored", "skipped"), ("FAILED", "failed")):
            log = FILES["build/check/proto.log"].replace("... ok", "... " + said)
            self.write("build/check/proto.log", log)
            self.refused(message + " when it was last run: roles.rs:two_options")
        self.write("build/check/proto.log", FILES["build/check/proto.log"].replace("tests/roles.rs", "tests/other.rs"))
        self.refused("not run: roles.rs:two_options")
        (self.top / "build/check/proto.log").unlink()
        self.refused("not run: roles.rs:two_options")

    def test_row_without_an_answer(self):
        self.refused("neither a test nor an answer", "As 4.1-1.", "It is so.")
        self.refused("neither a test nor an answer", "Not ours: it is for others.", "Not ours:")
        self.refused("refers to a row that is not there: 4.1-9", "As 4.1-1.", "As 4.1-9.")
        self.refused("refers to a row that is not there: 4.1-2", "As 4.1-1.", "As 4.1-2.")

    def test_row_that_is_ill_formed(self):
        self.refused("4.1-3 where 4.1-2 should be", "4.1-2", "4.1-3")
        self.refused("not a number and a keyword", "4.1-2 MUST NOT", "4.1-2 must not")
        self.refused("3 columns, not 4", "     - As 4.1-1.\n", "")
        self.refused("neither a row nor a column", "     - none", "    - none")
        self.refused("no rows", TABLE, "Text.\n")

    def test_keyword_without_a_row(self):
        self.refused("section 5: the RFC has ['MAY', 'SHOULD'], the table ['MAY']", rfc=RFC.replace("MAY.", "MAY, it SHOULD."))
        self.refused("section 4.1: the RFC has ['MUST', 'MUST'],", rfc=RFC.replace("MUST\n   NOT.", "MUST."))


if __name__ == "__main__":
    unittest.main()
