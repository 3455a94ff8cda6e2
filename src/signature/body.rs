//! The body as a signature sees it: as received, or gunzipped. The bytes that are delivered are never touched.
//!
//! Before the signature was verified, gunzipped bytes are streamed and not gathered, so that a small request cannot fill memory.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::Reason;

/// Gunzipped bytes of one body: a bomb is refused there.
const GUNZIPPED_BYTES_MAX: u64 = 64 << 20;
/// One step of gunzipping.
const STEP_BYTES: usize = 16 << 10;
/// RFC 1952, section 2.3.1.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A body and how the signature sees it.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    raw: &'a [u8],
    gunzip: bool,
}

impl<'a> Body<'a> {
    /// `gunzip`: where it is gzip, the signature covers what is inside.
    pub(super) fn new(raw: &'a [u8], gunzip: bool) -> Self {
        Self { raw, gunzip: gunzip && raw.starts_with(&GZIP_MAGIC) }
    }

    /// The same, gunzipped where it is gzip.
    pub(super) fn gunzipped(self) -> Self {
        Self::new(self.raw, true)
    }

    /// Gives its bytes piece by piece.
    pub(super) fn feed(self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
        if !self.gunzip {
            sink(self.raw);
            return Ok(());
        }
        self.feed_gunzipped(sink)
    }

    /// Apart, so that only who gunzips pays for the room on the stack.
    #[inline(never)]
    fn feed_gunzipped(self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
        let mut decoder = MultiGzDecoder::new(self.raw);
        let (mut step, mut total) = ([0; STEP_BYTES], 0);
        loop {
            let n = decoder.read(&mut step).map_err(|_| Reason::BadEncoding)?;
            total += n as u64;
            match n {
                0 => return Ok(()),
                _ if total > GUNZIPPED_BYTES_MAX => return Err(Reason::BadEncoding),
                n => sink(&step[..n]),
            }
        }
    }

    /// All its bytes at once.
    pub(super) fn whole(self) -> Result<Cow<'a, [u8]>, Reason> {
        if !self.gunzip {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut bytes = Vec::new();
        self.feed(&mut |piece| bytes.extend_from_slice(piece))?;
        Ok(Cow::Owned(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn only_gzip_is_gunzipped_and_only_where_asked_for() {
        let packed = gzip(b"hello");
        assert_eq!(&*Body::new(&packed, true).whole().unwrap(), b"hello");
        assert_eq!(&*Body::new(&packed, false).whole().unwrap(), &packed[..]);
        assert_eq!(&*Body::new(b"hello", true).whole().unwrap(), b"hello");
    }

    #[test]
    fn damage_and_bombs_are_refused() {
        let packed = gzip(b"hello");
        assert_eq!(Body::new(&packed[..packed.len() - 1], true).whole().unwrap_err(), Reason::BadEncoding);
        assert_eq!(Body::new(&[&packed[..], b"x"].concat(), true).whole().unwrap_err(), Reason::BadEncoding);
        let bomb = gzip(&vec![0; GUNZIPPED_BYTES_MAX as usize + 1]);
        assert_eq!(Body::new(&bomb, true).feed(&mut |_| ()), Err(Reason::BadEncoding));
    }
}
