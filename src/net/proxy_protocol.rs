//! The PROXY protocol, versions 1 and 2: a balancer says before the first byte of TLS for whom it opened a connection.
//!
//! Read strictly, and bounded in bytes; the bound in time is the listener's. Nothing behind the header is taken from the stream. It is
//! the listener's to ask it of nobody but trusted proxies: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line of version 1, with its CRLF.
const LINE_BYTES_MAX: usize = 107;
/// What both versions have at least: so many bytes tell them apart.
const START_BYTES: usize = 12;
const SIGNATURE: [u8; START_BYTES] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and the length of the rest.
const HEAD_BYTES: usize = 16;
/// Room for addresses and what balancers add, a certificate among it.
const REST_BYTES_MAX: usize = 8 * 1024;
/// An entry of version 2: its type and its length come first.
const ENTRY_HEAD_BYTES: usize = 3;
/// The type of the entry with the checksum of the header.
const CRC32C: u8 = 0x03;
/// Castagnoli's polynomial, its bits in reverse.
const CRC32C_POLYNOMIAL: u32 = 0x82f6_3b78;

/// For whom a connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// For the proxy itself, to see whether somebody is there, or for somebody who has no address.
    Proxy,
    /// For a client at this address.
    Client(IpAddr),
}

/// Why a connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It ended, or failed.
    #[error("no PROXY header: {0}")]
    Io(#[from] io::Error),
    /// What came is no such header, or a damaged one.
    #[error("a PROXY header that makes no sense")]
    Malformed,
}

/// Reads the header, and no byte more.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Origin, Error> {
    let mut start = [0; START_BYTES];
    stream.read_exact(&mut start).await?;
    let origin = match start == SIGNATURE {
        true => binary(&rest_of_binary(stream).await?),
        false => line(&rest_of_line(stream, start).await?),
    };
    origin.ok_or(Error::Malformed)
}

async fn rest_of_line(stream: &mut (impl AsyncRead + Unpin), start: [u8; START_BYTES]) -> Result<Vec<u8>, Error> {
    let mut line = start.to_vec();
    // By single bytes: what comes behind the line is TLS, which must be left where it is.
    while line.last() != Some(&b'\n') {
        if line.len() == LINE_BYTES_MAX || !line.starts_with(b"PROXY ") {
            return Err(Error::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    Ok(line)
}

async fn rest_of_binary(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Error> {
    let mut header = SIGNATURE.to_vec();
    header.resize(HEAD_BYTES, 0);
    stream.read_exact(&mut header[START_BYTES..]).await?;
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if rest > REST_BYTES_MAX {
        return Err(Error::Malformed);
    }
    header.resize(HEAD_BYTES + rest, 0);
    stream.read_exact(&mut header[HEAD_BYTES..]).await?;
    Ok(header)
}

/// A whole line of version 1, with its CRLF.
pub fn line(line: &[u8]) -> Option<Origin> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("PROXY ")?.strip_suffix("\r\n")?;
    if text.contains(['\r', '\n']) || line.len() > LINE_BYTES_MAX {
        return None;
    }
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Origin::Proxy);
    }
    let words: Vec<&str> = text.split(' ').collect();
    let [family, from, to, from_port, to_port] = words[..] else { return None };
    if !is_port(from_port) || !is_port(to_port) {
        return None;
    }
    match family {
        "TCP4" => to.parse::<Ipv4Addr>().ok().and(from.parse::<Ipv4Addr>().ok()).map(|ip| Origin::Client(ip.into())),
        "TCP6" => to.parse::<Ipv6Addr>().ok().and(from.parse::<Ipv6Addr>().ok()).map(of_v6),
        _ => None,
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port.to_string() == text)
}

fn of_v6(address: Ipv6Addr) -> Origin {
    Origin::Client(IpAddr::V6(address).to_canonical())
}

/// A whole header of version 2.
pub fn binary(header: &[u8]) -> Option<Origin> {
    let (head, rest) = header.split_at_checked(HEAD_BYTES)?;
    let [command, family, length @ ..] = head.strip_prefix(&SIGNATURE)? else { return None };
    if usize::from(u16::from_be_bytes(length.try_into().ok()?)) != rest.len() {
        return None;
    }
    let is_proxy = match command {
        0x20 => true,
        0x21 => false,
        _ => return None,
    };
    // The address of the client comes first, then the one that it called, then the ports.
    let (of_client, address_bytes) = match family {
        0x00 => (None, 0),
        0x11 => (rest.first_chunk::<4>().map(|octets| Origin::Client(Ipv4Addr::from(*octets).into())), 12),
        0x21 => (rest.first_chunk::<16>().map(|octets| of_v6(Ipv6Addr::from(*octets))), 36),
        // Datagrams make no connection.
        0x12 | 0x22 | 0x32 if !is_proxy => return None,
        0x12 => (None, 12),
        0x22 => (None, 36),
        0x31 | 0x32 => (None, 216),
        _ => return None,
    };
    let entries_at = HEAD_BYTES + address_bytes;
    is_whole(header, entries_at)?;
    Some(of_client.filter(|_| !is_proxy).unwrap_or(Origin::Proxy))
}

/// Whether the entries are whole, and the checksum fits where there is one.
fn is_whole(header: &[u8], entries_at: usize) -> Option<()> {
    let (mut at, mut checksum_at) = (entries_at, None);
    while at != header.len() {
        let [kind, high, low, ..] = header.get(at..)? else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        at += ENTRY_HEAD_BYTES;
        header.get(at..at + length)?;
        if *kind == CRC32C && (length != 4 || checksum_at.replace(at).is_some()) {
            return None;
        }
        at += length;
    }
    let Some(at) = checksum_at else { return Some(()) };
    let (before, from) = header.split_at_checked(at)?;
    let (sum, behind) = from.split_first_chunk::<4>()?;
    // It stands in the header as zeros when it is made.
    let bytes = before.iter().chain(&[0; 4]).chain(behind);
    (crc32c(bytes) == u32::from_be_bytes(*sum)).then_some(())
}

/// Bit by bit: a header is short, and few have a checksum.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (CRC32C_POLYNOMIAL & 0u32.wrapping_sub(sum & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(address: &str) -> Option<Origin> {
        Some(Origin::Client(address.parse().unwrap()))
    }

    fn of_binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        header.extend(rest);
        header
    }

    fn v4(more: &[u8]) -> Vec<u8> {
        of_binary(0x21, 0x11, &[&[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb], more].concat())
    }

    /// With a checksum in an entry of its own, between two others.
    fn with_checksum(mut wrong: u32) -> Vec<u8> {
        let mut header = v4(&[0x01, 0, 2, b'h', b'2', CRC32C, 0, 4, 0, 0, 0, 0, 0x04, 0, 1, 0]);
        wrong ^= crc32c(header.iter());
        let at = header.len() - 8;
        header[at..at + 4].copy_from_slice(&wrong.to_be_bytes());
        header
    }

    #[test]
    fn lines_are_read_strictly() {
        assert_eq!(line(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"), client("192.0.2.7"));
        assert_eq!(line(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), client("2001:db8::7"));
        assert_eq!(line(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), client("192.0.2.7"));
        assert_eq!(line(b"PROXY UNKNOWN\r\n"), Some(Origin::Proxy));
        assert_eq!(line(b"PROXY UNKNOWN ffff:f whatever 65535\r\n"), Some(Origin::Proxy));
        for bad in [
            "PROXY UNKNOWNX\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 \r\n",
            "PROXY TCP4  192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 04711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +4711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.07 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 ::1 ::1 4711 443\r\n",
            "PROXY TCP6 192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY UDP4 192.0.2.7 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
            "PROXY UNKNOWN x\ry\r\n",
            "proxy TCP4 192.0.2.7 10.0.0.1 4711 443\r\n",
        ] {
            assert_eq!(line(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn headers_are_read_strictly() {
        assert_eq!(binary(&v4(&[])), client("192.0.2.7"));
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(binary(&of_binary(0x21, 0x21, &v6)), client("2001:db8::7"));
        for own in
            [of_binary(0x20, 0, &[]), of_binary(0x20, 0x11, &[0; 12]), of_binary(0x21, 0, &[]), of_binary(0x21, 0x31, &[0; 216])]
        {
            assert_eq!(binary(&own), Some(Origin::Proxy));
        }
        let mut long = v4(&[]);
        long.push(0);
        for bad in [
            of_binary(0x11, 0x11, &[0; 12]),
            of_binary(0x22, 0x11, &[0; 12]),
            of_binary(0x21, 0x12, &[0; 12]),
            of_binary(0x21, 0x41, &[0; 12]),
            of_binary(0x21, 0x11, &[0; 11]),
            of_binary(0x21, 0x31, &[0; 215]),
            v4(&[0x01, 0]),
            v4(&[0x01, 0, 2, b'h']),
            v4(&[CRC32C, 0, 3, 0, 0, 0]),
            long,
        ] {
            assert_eq!(binary(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_checksum_counts_where_there_is_one() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
        assert_eq!(binary(&with_checksum(0)), client("192.0.2.7"));
        assert_eq!(binary(&with_checksum(1)), None);
        let twice = [&with_checksum(0)[28..], &[CRC32C, 0, 4, 0, 0, 0, 0]].concat();
        assert_eq!(binary(&v4(&twice)), None);
    }

    #[tokio::test]
    async fn what_is_behind_the_header_stays() {
        for header in [b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(), v4(&[]), with_checksum(0)] {
            let bytes = [&header[..], b"\x16\x03\x01"].concat();
            let mut stream = &bytes[..];
            assert_eq!(read(&mut stream).await.ok(), client("192.0.2.7"));
            assert_eq!(stream, b"\x16\x03\x01");
        }
        let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 100]].concat();
        for bad in [&endless[..], &huge, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0"] {
            assert!(matches!(read(&mut &bad[..]).await, Err(Error::Malformed)), "{bad:?}");
        }
        assert!(matches!(read(&mut &b"PROXY TCP4 192.0"[..]).await, Err(Error::Io(_))));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), command in 0x1fu8..0x23, family: u8) {
            let _ = (line(&bytes), binary(&bytes), binary(&of_binary(command, family, &bytes)));
            let _ = line(&[b"PROXY TCP4 ", &bytes[..], b"\r\n"].concat());
        }

        #[test]
        fn a_changed_address_breaks_the_checksum(at in HEAD_BYTES..HEAD_BYTES + 12, change in 1u8..) {
            let mut header = with_checksum(0);
            header[at] ^= change;
            prop_assert_eq!(binary(&header), None);
        }
    }
}
