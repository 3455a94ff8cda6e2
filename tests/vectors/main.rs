//! Golden requests of real schemes: each must be judged as it says. Where a library of the provider (or one widely used) exists,
//! the same requests were put to it; what it accepts and refuses is what is expected here.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod catalogue;
mod changed;
mod confirmed;
mod explained;
mod handshakes;
mod hmac;
mod keys;
mod mutated;
