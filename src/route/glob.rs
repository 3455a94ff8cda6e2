//! Patterns: `*` stands for any text, also for none, and `?` for one character. Everything else stands for itself.

/// Bytes of one pattern: what a comparison costs at most is this times the length of what is compared.
const PATTERN_BYTES_MAX: usize = 256;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

/// A pattern that is too long.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern has at most {PATTERN_BYTES_MAX} bytes")]
pub struct BadGlob;

impl Glob {
    /// From its text.
    pub fn try_new(pattern: &str) -> Result<Self, BadGlob> {
        if pattern.len() > PATTERN_BYTES_MAX { Err(BadGlob) } else { Ok(Self(pattern.to_owned())) }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits.
    pub fn fits(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut t) = (0, 0);
        // Behind the last star, and where the text goes on behind what that stands for.
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() || p < pattern.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    star = Some((p, t));
                    continue;
                }
                Some(b'?') if t < text.len() => {
                    (p, t) = (p + 1, behind_character(text, t));
                    continue;
                }
                Some(byte) if text.get(t) == Some(byte) => {
                    (p, t) = (p + 1, t + 1);
                    continue;
                }
                _ => {}
            }
            // The last star stands for one byte more. An earlier one need not: it would only give the later one less to choose from.
            match star {
                Some((behind, at)) if at < text.len() => {
                    (p, t) = (behind, at + 1);
                    star = Some((p, t));
                }
                _ => return false,
            }
        }
        true
    }
}

/// Where the character ends that begins at `at`; bytes that are no UTF-8 count one by one or, if they continue nothing, together.
fn behind_character(text: &[u8], at: usize) -> usize {
    let is_more = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    at + 1 + text[at + 1..].iter().take_while(is_more).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Glob::try_new(pattern).unwrap().fits(text.as_bytes())
    }

    #[test]
    fn the_whole_text_must_fit() {
        for (pattern, text) in [
            ("invoice.*", "invoice.paid"),
            ("invoice.*", "invoice."),
            ("*", ""),
            ("*", "a.b"),
            ("*.paid", "a.paid.paid"),
            ("a*b*c", "a_bb_c_c"),
            ("?", "é"),
            ("*?", "é"),
            ("", ""),
            ("[a]\\", "[a]\\"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("invoice.*", "invoice"),
            ("invoice.*", "xinvoice.paid"),
            ("invoice", "invoice.paid"),
            ("Invoice", "invoice"),
            ("*.paid", "a.paid.x"),
            ("a*b*c", "a_c_b"),
            ("??", "é"),
            ("?", ""),
            ("", "a"),
            ("[a]", "a"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert_eq!(Glob::try_new(&"*".repeat(257)), Err(BadGlob));
        assert!(Glob::try_new("\\xff*").unwrap().fits(b"\\xff\xff"));
    }

    #[test]
    fn many_stars_cost_no_more_than_length_times_length() {
        let text = "a".repeat(100_000);
        assert!(!fits(&format!("{}b", "*a".repeat(100)), &text));
    }

    /// By the definition: a star takes each possible part of the text.
    fn plainly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some(('*', rest)), _) => (0..=text.len()).any(|n| plainly(rest, &text[n..])),
            (Some((p, pattern)), Some((t, text))) => (*p == '?' || p == t) && plainly(pattern, text),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_fits_what_its_definition_says(pattern in "[ab.é*?]{0,8}", text in "[ab.é]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(fits(&pattern, &text), plainly(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn a_text_made_from_its_pattern_fits(parts in prop::collection::vec("[a-z.]{0,5}", 1..5), fill in "[a-z.é]{0,9}") {
            prop_assert!(fits(&parts.join("*"), &parts.join(&fill)));
        }

        #[test]
        fn any_bytes_are_compared_without_a_panic(pattern in "[*?a]{0,9}", text: Vec<u8>) {
            let _ = Glob::try_new(&pattern).unwrap().fits(&text);
        }
    }
}
