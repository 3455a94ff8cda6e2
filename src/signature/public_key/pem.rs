//! PEM (RFC 7468), as people and providers write it: with its line ends, with `\n` written out, or with none at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Blocks in one text: a chain of certificates has three or four.
const BLOCKS_MAX: usize = 16;

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::signature) struct Block<'a> {
    /// What it says that it is, such as `PUBLIC KEY`.
    pub(in crate::signature) label: &'a str,
    /// Its bytes.
    pub(in crate::signature) der: Vec<u8>,
}

/// Whether a text looks as if it were PEM.
pub(in crate::signature) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

/// The blocks of a text; `None` where one is broken, or none is there. Text between blocks does not count.
pub(in crate::signature) fn blocks(text: &str) -> Option<Vec<Block<'_>>> {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----")?;
        let (inside, after) = after.split_once("-----END ")?;
        let (end, after) = after.split_once("-----")?;
        if label != end || blocks.len() == BLOCKS_MAX {
            return None;
        }
        blocks.push(Block { label, der: STANDARD.decode(joined(inside)).ok().filter(|der| !der.is_empty())? });
        rest = after;
    }
    (!blocks.is_empty()).then_some(blocks)
}

/// Base64 without the white space in it.
pub(in crate::signature) fn joined(text: &str) -> String {
    text.replace("\\r", "").replace("\\n", "").chars().filter(|c| !c.is_ascii_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_do_not_matter() {
        let block = |label, der: &[u8]| Block { label, der: der.to_vec() };
        for text in [
            "-----BEGIN X-----\nYWJj\nZGVm\n-----END X-----\n",
            "-----BEGIN X-----YWJjZGVm-----END X-----",
            "-----BEGIN X-----\\nYWJj\\r\\nZGVm\\n-----END X-----",
        ] {
            assert_eq!(blocks(text), Some(vec![block("X", b"abcdef")]), "{text}");
        }
        let two = "a -----BEGIN X-----YWJj-----END X----- b -----BEGIN Y Z-----\r\nZGVm\r\n-----END Y Z----- c";
        assert_eq!(blocks(two), Some(vec![block("X", b"abc"), block("Y Z", b"def")]));
    }

    #[test]
    fn what_is_broken_is_nothing() {
        for text in [
            "",
            "YWJj",
            "-----BEGIN X-----",
            "-----BEGIN X-----YWJj",
            "-----BEGIN X-----YWJj-----END Y-----",
            "-----BEGIN X----------END X-----",
            "-----BEGIN X-----YW%j-----END X-----",
            "-----BEGIN X-----YWJj-----END X----- -----BEGIN X-----",
        ] {
            assert_eq!(blocks(text), None, "{text}");
        }
        assert_eq!(blocks(&"-----BEGIN X-----YWJj-----END X-----".repeat(17)), None);
    }
}
