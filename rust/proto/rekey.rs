// SPDX-License-Identifier: GPL-2.0

//! Rekeying (RFC 8548, 3.8): which generation of keys a frame is sealed with, and when a key has
//! done enough.
//!
//! Each direction has keys of its own, and a host keeps a master key for each: the sending half goes
//! through the generations as [`Generations::step`] says, the receiving half with every frame that
//! has rekey = 1. A half forgets a generation as soon as it goes on, for TCP delivers in order and
//! sends again what was sealed, not what is to be sealed: nothing needs the old key any more.

use super::ids::Aead;

/// How far the two hosts are, and what is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generations {
    /// That of the key of the sending half: `local`, or less as long as frames are due.
    sealing: u64,
    /// The local generation number.
    local: u64,
    /// The remote generation number.
    remote: u64,
    /// No frame was sealed yet with the key of `sealing`, which is not the first of all.
    is_new: bool,
    /// A rekey is to be initiated.
    wanted: bool,
}

impl Generations {
    /// Both at generation 0.
    pub const fn new() -> Self {
        Self {
            sealing: 0,
            local: 0,
            remote: 0,
            is_new: false,
            wanted: false,
        }
    }

    /// The local generation number.
    pub fn local(&self) -> u64 {
        self.local
    }

    /// The remote generation number.
    pub fn remote(&self) -> u64 {
        self.remote
    }

    /// Whether the peer has yet to follow us.
    pub fn is_ahead(&self) -> bool {
        self.local > self.remote
    }

    /// A frame with rekey = 1 came. If the peer is ahead now, we follow: [`Self::owed_frames`].
    pub fn received(&mut self) {
        self.remote = self.remote.saturating_add(1);
        if self.remote > self.local {
            self.local = self.remote;
            // The keys that follow are as new as those that were wanted.
            self.wanted = false;
        }
    }

    /// Has a rekey initiated by the next frame. Where the peer has yet to follow an earlier one, a
    /// frame without data does that only once the peer has: a host must not initiate with an empty
    /// frame more than once while its remote generation number is less than its own.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// How many frames are to be sent now, without data if there are none.
    pub fn owed_frames(&self) -> u64 {
        let due = self.local.saturating_sub(self.sealing);
        let wanted = self.wanted && !self.is_ahead();
        due.saturating_add(u64::from(self.is_new || wanted))
    }

    /// Before a frame is sealed: whether it is to be sealed with the next generation's key, which the
    /// caller then makes. `worn`: the key that there is has done enough.
    pub fn step(&mut self, has_data: bool, worn: bool) -> bool {
        if self.is_new {
            return false;
        }
        if self.sealing == self.local && (worn || self.wanted) && (has_data || !self.is_ahead()) {
            self.local = self.local.saturating_add(1);
            self.wanted = false;
        }
        if self.sealing < self.local {
            // A frame for each generation, for the peer counts them.
            self.sealing = self.sealing.saturating_add(1);
            self.is_new = true;
        }
        self.is_new
    }

    /// Whether the next frame is to have rekey = 1.
    pub fn rekey(&self) -> bool {
        self.is_new
    }

    /// A frame was sealed.
    pub fn sealed(&mut self) {
        self.is_new = false;
    }
}

impl Default for Generations {
    fn default() -> Self {
        Self::new()
    }
}

/// What one key may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Frames that are sealed.
    pub frames: u64,
    /// Bytes of data in them. The frame that gets there may go beyond.
    pub bytes: u64,
    /// Frames that are opened and turn out to be forged.
    pub forgeries: u64,
}

/// AES-GCM. RFC 8446, 5.5: 2^24.5 full-size records of 2^14 bytes leave an attacker's advantage at
/// 2^-57. It grows with the square of the number of blocks, and so it does here, where the nonces
/// are distinct as well: `NR` is as unknown as the randomizer of TLS 1.3, and XORed in the same way.
/// Our frames may be longer, hence the limit of bytes: half a bit below both. Forgeries: RFC 9147,
/// 4.5.3.
const GCM: Limits = Limits {
    frames: 1 << 24,
    bytes: 1 << 38,
    forgeries: 1 << 36,
};

/// ChaCha20-Poly1305. RFC 8446, 5.5: the numbers of records run out first. Here those are offsets:
/// RFC 8548, 3.6 wants a rekey before 2^64 bytes of the TCP stream, so that no offset comes twice
/// under one key. That many frames with that many bytes take less than 2^63. Forgeries: RFC 9147,
/// 4.5.3.
const CHACHA20_POLY1305: Limits = Limits {
    frames: 1 << 48,
    bytes: 1 << 62,
    forgeries: 1 << 36,
};

/// How many forged frames a receiver looks at with one key: the first ends the connection.
const FORGERIES: u64 = 1;

const _: () = assert!(FORGERIES <= GCM.forgeries && FORGERIES <= CHACHA20_POLY1305.forgeries);

impl Aead {
    /// What one key of this algorithm may do.
    pub const fn limits(self) -> Limits {
        match self {
            Aead::Aes128Gcm | Aead::Aes256Gcm => GCM,
            Aead::ChaCha20Poly1305 => CHACHA20_POLY1305,
        }
    }
}

/// What a key has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wear {
    frames: u64,
    bytes: u64,
}

impl Wear {
    /// A key that has sealed nothing.
    pub const fn new() -> Self {
        Self {
            frames: 0,
            bytes: 0,
        }
    }

    /// It sealed a frame with `data` bytes of data.
    pub fn sealed(&mut self, data: u64) {
        self.frames = self.frames.saturating_add(1);
        self.bytes = self.bytes.saturating_add(data);
    }

    /// Whether it has sealed a frame.
    pub fn is_used(&self) -> bool {
        self.frames > 0
    }

    /// Whether it is to seal no more: it is at a limit of its algorithm, or has sealed `bytes` bytes
    /// of data, which is no limit if 0.
    pub fn is_worn(&self, aead: Aead, bytes: u64) -> bool {
        let limits = aead.limits();
        self.frames >= limits.frames
            || self.bytes >= limits.bytes
            || bytes != 0 && self.bytes >= bytes
    }
}
