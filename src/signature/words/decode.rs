//! Decodes some `%XX` of an address and leaves all others: HubSpot signs its URL so.

/// `text` with each `%XX` that stands for a byte of `list` replaced by that byte.
pub(in crate::signature) fn decode(text: &[u8], list: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = if first == b'%' { after.get(..2).and_then(byte) } else { None };
        match escaped.filter(|byte| list.contains(byte)) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

fn byte(digits: &[u8]) -> Option<u8> {
    let mut byte = [0];
    hex::decode_to_slice(digits, &mut byte).ok()?;
    Some(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_bytes_are_decoded() {
        let decode = |text: &str| String::from_utf8(decode(text.as_bytes(), b":@")).unwrap();
        assert_eq!(decode("a%40b%3A%3a%20%2540"), "a@b::%20%2540");
        assert_eq!(decode("%4"), "%4");
        assert_eq!(decode("%%40%4é%"), "%@%4é%");
    }
}
