//! What balancers say before TLS: what is read takes no byte too many, and what a stream gives is what the rules say of its header.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hookhold::net::proxy_protocol::{self, Origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut stream = data;
    let read = {
        let mut reading = pin!(proxy_protocol::read(&mut stream));
        // Bytes that are there need no waiting.
        match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => read.ok(),
            Poll::Pending => unreachable!("a slice is always ready"),
        }
    };
    let header = &data[..data.len() - stream.len()];
    if let Some(origin) = read {
        let judged = if header.starts_with(b"PROXY ") { proxy_protocol::line(header) } else { proxy_protocol::binary(header) };
        assert_eq!(judged, Some(origin));
        if let Origin::Client(address) = origin {
            assert_eq!(address, address.to_canonical());
        }
    }
});
