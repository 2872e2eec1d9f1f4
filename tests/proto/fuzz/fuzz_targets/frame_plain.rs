// SPDX-License-Identifier: GPL-2.0
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tcpcrypt_proto_tests::fuzz_targets::frame_plain(data));
