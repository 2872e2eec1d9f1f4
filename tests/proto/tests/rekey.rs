// SPDX-License-Identifier: GPL-2.0

//! Rekeying (RFC 8548, 3.8): which frame begins a generation, and when a key has done enough.

use std::collections::VecDeque;

use proptest::{collection::vec, prelude::*};
use tcpcrypt_proto_tests::{
    proto::{
        frame::MAX_CLEN,
        ids::Aead,
        rekey::{Generations, Wear},
    },
    support::AEADS,
};

/// A host that does what the module does around its [`Generations`], and judges the other's frames.
#[derive(Default)]
struct Host {
    generations: Generations,
    /// That of the key that it seals with, counted by itself.
    key: u64,
    /// Frames to the other host: (rekey, the key's generation, has data).
    wire: VecDeque<(bool, u64, bool)>,
    /// As the receiver counts.
    peer_key: u64,
    /// Generations that it initiated with an empty frame.
    empty: Vec<u64>,
}

impl Host {
    /// Seals a frame.
    fn send(&mut self, has_data: bool, worn: bool) {
        let before = self.generations;
        if self.generations.step(has_data, worn) {
            self.key += 1;
        }
        let initiates = self.generations.local() > before.local();
        if initiates && !has_data {
            // Not more than once while the remote generation number is less than the local.
            let remote = self.generations.remote();
            assert!(self.empty.iter().all(|generation| *generation <= remote));
            self.empty.push(self.generations.local());
        }
        self.wire
            .push_back((self.generations.rekey(), self.key, has_data));
        self.generations.sealed();
        assert!(
            !self.generations.rekey(),
            "on no other frame of the generation"
        );
    }

    /// What is owed leaves at once.
    fn settle(&mut self) {
        while self.generations.owed_frames() > 0 {
            self.send(false, false);
        }
        assert_eq!(self.key, self.generations.local());
    }

    /// Takes the next frame of `other`.
    fn receive(&mut self, other: &mut Host) -> bool {
        let Some((rekey, key, _)) = other.wire.pop_front() else {
            return false;
        };
        if rekey {
            self.peer_key += 1;
            self.generations.received();
            assert!(self.generations.local() >= self.generations.remote());
        }
        assert_eq!(
            key, self.peer_key,
            "opens with the keys that the receiver has"
        );
        assert_eq!(self.generations.remote(), self.peer_key);
        self.settle();
        true
    }
}

/// Both hosts take all that is under way.
fn drain(a: &mut Host, b: &mut Host) {
    while a.receive(b) | b.receive(a) {}
}

fn generations(host: &Host) -> (u64, u64) {
    (host.generations.local(), host.generations.remote())
}

#[test]
fn worn_key_is_changed_by_the_next_frame_and_followed() {
    let (mut a, mut b) = (Host::default(), Host::default());
    a.send(true, false);
    a.send(true, true);
    assert_eq!(a.wire, [(false, 0, true), (true, 1, true)]);
    drain(&mut a, &mut b);
    assert_eq!((generations(&a), generations(&b)), ((1, 1), (1, 1)));
}

#[test]
fn wanted_rekey_needs_no_data() {
    let (mut a, mut b) = (Host::default(), Host::default());
    a.generations.want();
    assert!(a.generations.owed_frames() == 1);
    a.settle();
    assert_eq!(a.wire, [(true, 1, false)]);
    drain(&mut a, &mut b);
    assert_eq!(generations(&b), (1, 1));
}

#[test]
fn second_wanted_rekey_waits_for_the_peer_or_for_data() {
    let (mut a, mut b) = (Host::default(), Host::default());
    a.generations.want();
    a.settle();
    a.generations.want();
    assert!(a.generations.owed_frames() == 0, "not with an empty frame");
    a.send(true, false);
    assert_eq!(generations(&a), (2, 0), "data carry it");

    a.generations.want();
    a.settle();
    assert_eq!(generations(&a), (2, 0));
    b.receive(&mut a);
    a.receive(&mut b);
    a.settle();
    assert_eq!(generations(&a), (2, 1), "the peer is one behind");
    b.receive(&mut a);
    a.receive(&mut b);
    assert_eq!(generations(&a), (3, 2), "the peer has followed");
    drain(&mut a, &mut b);
    assert_eq!((generations(&a), generations(&b)), ((3, 3), (3, 3)));
}

#[test]
fn rekeys_that_cross_are_one() {
    let (mut a, mut b) = (Host::default(), Host::default());
    a.generations.want();
    b.generations.want();
    a.settle();
    b.settle();
    drain(&mut a, &mut b);
    assert_eq!((generations(&a), generations(&b)), ((1, 1), (1, 1)));
}

#[test]
fn rekey_of_the_peer_is_the_one_that_was_wanted() {
    let mut generations = Generations::new();
    generations.want();
    generations.received();
    assert!(generations.step(false, false));
    generations.sealed();
    assert!(generations.owed_frames() == 0);
    assert_eq!(generations.local(), 1);
}

#[test]
fn each_generation_of_the_peer_is_followed_by_a_frame() {
    let mut generations = Generations::new();
    for _ in 0..3 {
        generations.received();
    }
    assert_eq!(generations.local(), 3);
    for owed in (1..=3).rev() {
        assert_eq!(generations.owed_frames(), owed);
        assert!(generations.step(false, false));
        assert!(generations.rekey());
        generations.sealed();
    }
    assert!(generations.owed_frames() == 0);
}

#[test]
fn frame_that_was_not_sealed_leaves_its_generation_to_the_next() {
    let mut generations = Generations::new();
    assert!(generations.step(true, true), "a new key");
    // There was no memory for the frame.
    assert!(generations.owed_frames() == 1);
    assert!(!generations.step(true, true), "the key is there");
    assert!(generations.rekey());
}

#[test]
fn key_is_worn_at_the_limits_of_its_algorithm() {
    for aead in AEADS {
        let limits = aead.limits();
        let mut wear = Wear::new();
        wear.sealed(limits.bytes - 1);
        assert!(wear.is_used() && !wear.is_worn(aead, 0));
        wear.sealed(1);
        assert!(wear.is_worn(aead, 0), "bytes");
        assert!(wear.is_worn(aead, u64::MAX), "whatever the setting");
        // No offset of the TCP stream comes twice under one key, even with the longest frames.
        let most = limits.bytes + limits.frames * 21 + MAX_CLEN as u64 + 3;
        assert!(most < 1 << 63);
    }
    let mut wear = Wear::new();
    for _ in 1..Aead::Aes128Gcm.limits().frames {
        wear.sealed(1);
    }
    assert!(!wear.is_worn(Aead::Aes128Gcm, 0));
    wear.sealed(1);
    assert!(wear.is_worn(Aead::Aes128Gcm, 0), "frames");
    assert!(!wear.is_worn(Aead::ChaCha20Poly1305, 0));
}

#[test]
fn key_is_worn_by_the_bytes_that_are_set() {
    let mut wear = Wear::new();
    assert!(!wear.is_worn(Aead::Aes128Gcm, 1));
    wear.sealed(4095);
    assert!(!wear.is_worn(Aead::Aes128Gcm, 4096));
    wear.sealed(1);
    assert!(wear.is_worn(Aead::Aes128Gcm, 4096));
    assert!(!wear.is_worn(Aead::Aes128Gcm, 0), "0 is no limit");
}

proptest! {
    /// Whatever both hosts do, and in whatever order it arrives: every frame opens, rekey = 1 is on
    /// the first of each generation, and in the end both have followed.
    #[test]
    fn hosts_never_lose_each_other(steps in vec((any::<bool>(), 0..6u8), 0..200)) {
        let (mut a, mut b) = (Host::default(), Host::default());
        for (is_a, what) in steps {
            let (one, other) = if is_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
            match what {
                0 => one.send(true, false),
                1 => one.send(true, true),
                2 => {
                    one.generations.want();
                    one.settle();
                }
                // The end of the stream may have no data.
                3 => one.send(false, true),
                _ => {
                    one.receive(other);
                }
            }
        }
        drain(&mut a, &mut b);
        let (local, remote) = generations(&a);
        prop_assert_eq!(local, remote);
        prop_assert_eq!(generations(&b), (remote, local));
    }
}
