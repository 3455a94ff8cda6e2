//! The little of DER that keys and certificates need. Strict: definite lengths in their shortest form, tags of one byte, nothing
//! behind the end. What it does not understand is nothing.

/// Tags (X.690, section 8.1.2).
pub(in crate::signature) const BOOLEAN: u8 = 0x01;
pub(in crate::signature) const INTEGER: u8 = 0x02;
pub(in crate::signature) const BIT_STRING: u8 = 0x03;
pub(in crate::signature) const OCTET_STRING: u8 = 0x04;
pub(in crate::signature) const OID: u8 = 0x06;
pub(in crate::signature) const SEQUENCE: u8 = 0x30;

/// A run of DER values.
#[derive(Clone, Copy)]
pub(in crate::signature) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of these bytes.
    pub(in crate::signature) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing follows.
    pub(in crate::signature) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The tag of what follows.
    pub(in crate::signature) fn tag(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value: its tag and its content.
    pub(in crate::signature) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk::<2>()?;
        // Tags of several bytes stand in no key and in no certificate that counts here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x83 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                let length = bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b));
                // The shortest form is the only one.
                let shortest = bytes.first() != Some(&0) && length > 0x7f;
                shortest.then_some(length)?
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }

    /// The content of the next value, which must have that tag.
    pub(in crate::signature) fn tagged(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (tag, content) = self.next()?;
        (tag == wanted).then_some(content)
    }

    /// The next value, which must have that tag, with its tag and its length.
    pub(in crate::signature) fn raw(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.tagged(wanted)?;
        before.get(..before.len() - self.0.len())
    }

    /// What is in the next value, which must be a sequence.
    pub(in crate::signature) fn sequence(&mut self) -> Option<Self> {
        self.tagged(SEQUENCE).map(Self)
    }
}

/// The only value in `bytes`, which must be a sequence.
pub(in crate::signature) fn whole_sequence(bytes: &[u8]) -> Option<Reader<'_>> {
    let mut outer = Reader::new(bytes);
    let inner = outer.sequence()?;
    outer.is_empty().then_some(inner)
}

/// A positive integer without the zero byte that keeps it positive.
pub(in crate::signature) fn positive(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, rest @ ..] if rest.first().is_some_and(|&b| b >= 0x80) => Some(rest),
        [first, ..] if (1..0x80).contains(first) => Some(content),
        _ => None,
    }
}

/// A value with its tag and its length.
pub(in crate::signature) fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|&&b| b == 0).count().min(length.len() - 1)..];
    if content.len() > 0x7f {
        // At most eight bytes of length.
        out.push(0x80 | significant.len() as u8);
    }
    out.extend_from_slice(significant);
    out.extend_from_slice(content);
    out
}

/// A positive integer; zeros at its front do not count.
pub(in crate::signature) fn write_integer(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|&&b| b == 0).count()..];
    let mut content = Vec::with_capacity(significant.len() + 1);
    if significant.first().is_none_or(|&b| b >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(significant);
    write(INTEGER, &content)
}

/// The content of an object identifier that is written with dots.
pub(in crate::signature) fn oid(text: &str) -> Option<Vec<u8>> {
    let arcs = text.split('.').map(|arc| arc.parse().ok()).collect::<Option<Vec<u32>>>()?;
    let [first @ 0..=2, second, rest @ ..] = &arcs[..] else { return None };
    let first = first.checked_mul(40)?.checked_add(*second)?;
    let mut out = Vec::new();
    for arc in std::iter::once(first).chain(rest.iter().copied()) {
        let groups = (0..5).rev().map(|i| (arc >> (7 * i)) as u8 & 0x7f).skip_while(|&group| group == 0).collect::<Vec<_>>();
        let Some((last, front)) = groups.split_last() else {
            out.push(0);
            continue;
        };
        out.extend(front.iter().map(|group| group | 0x80));
        out.push(*last);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        let read = |bytes: &[u8]| Reader::new(bytes).next().map(|(tag, content)| (tag, content.len()));
        assert_eq!(read(&[0x30, 0]), Some((0x30, 0)));
        assert_eq!(read(&[&[4, 0x81, 0x80][..], &[0; 128]].concat()), Some((4, 128)));
        for bad in
            [&[][..], &[4], &[4, 1], &[4, 0x80], &[4, 0x81, 1, 0], &[4, 0x82, 0, 0x80], &[0x1f, 1, 0], &[4, 0x84, 0, 0, 0, 1]]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert!(whole_sequence(&[0x30, 0, 0]).is_none());
    }

    #[test]
    fn integers_are_positive_and_short() {
        assert_eq!(positive(&[0, 0x80]), Some(&[0x80][..]));
        for bad in [&[][..], &[0], &[0, 1], &[0x80]] {
            assert_eq!(positive(bad), None, "{bad:?}");
        }
        assert_eq!(write_integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(write_integer(&[]), [2, 1, 0]);
    }

    #[test]
    fn identifiers_are_written_with_dots() {
        assert_eq!(oid("1.2.840.113549.1.1.1"), Some(vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]));
        assert_eq!(oid("2.999.0"), Some(vec![0x88, 0x37, 0]));
        for bad in ["", "1", "3.1", "1.x", "1..2", "1.2.99999999999"] {
            assert_eq!(oid(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(content in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let bytes = write(OCTET_STRING, &content);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.tagged(OCTET_STRING), Some(&content[..]));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.next().is_some() {}
        }
    }
}
