#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes the seed corpus: real messages, most of them from ../kat/vectors.txt, one file each."""

import pathlib

HERE = pathlib.Path(__file__).parent

# TCP options of Linux without ENO: SYN and ACK
SYN = "020405b4 0402 080a1122334400000000 01 030307"
ACK = "0101 080a1122335566778899"
COOKIE = "220a0102030405060708"
RESUME = "a3 010203040506070809 a1a2a3a4a5a6a7a8"

ENO = {
    "offer": "23",
    "offer_aware": "02 23",
    "answer": "01 23",
    "answer_aware": "03 23",
    "vacuous": "",
    "many": "01 21 22 23 24",
    "resume": RESUME,
    "resume_with_length": "90" + RESUME + "21",
    "resume_short": "a3 0102",
    "two_global": "01 00 23",
    "length_too_long": "23 85 a1 01",
    "length_before_global": "80 01 23",
    "length_at_end": "23 80",
    "unknown_with_data": "82 ff 010203 23",
}


def option(contents):
    contents = bytes.fromhex(contents)
    return bytes([69, 2 + len(contents)]) + contents


def corpus():
    for name, contents in ENO.items():
        yield "eno_syn", name, bytes.fromhex(contents)
        yield "option_list", name, bytes.fromhex(SYN) + option(contents)
    yield "option_list", "plain", bytes.fromhex(SYN)
    yield "option_list", "ack", bytes.fromhex(ACK) + option("")
    yield "option_list", "fast_open", bytes.fromhex(COOKIE) + option("23")
    yield "option_list", "fast_open_exp", bytes.fromhex("fe08f98901020304") + option("23")
    yield "option_list", "doubled", option("23") + option("23")
    yield "option_list", "broken_behind", option("23") + bytes.fromhex("0800")
    yield "option_list", "broken_before", bytes.fromhex("0801") + option("23")

    for line in (HERE / "../kat/vectors.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, value = line.split()
        session, _, kind = name.partition(".")
        if kind in ("init1", "init2"):
            yield kind, session, bytes.fromhex(value)
        if session == "aes128-gcm" and kind.endswith(".ab." + 16 * "0"):
            yield "frame_header", kind.split(".")[1], bytes.fromhex(value)

    for name, plaintext in [
        ("data", "00 68656c6c6f"),
        ("empty", "00"),
        ("fin", "01"),
        ("urgent", "02 0004 6162"),
        ("urgent_short", "02 00"),
        ("reserved", "fc 00"),
    ]:
        yield "frame_plain", name, bytes.fromhex(plaintext)


for target, name, value in corpus():
    path = HERE / "corpus" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)
