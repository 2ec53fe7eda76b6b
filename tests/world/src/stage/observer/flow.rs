//! From packets to the bytes of each direction, in their order and once.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use super::http::{self, Message};
use crate::ledger::Event;

/// More than this of one message is not kept: no count is so large.
const LARGEST: usize = 64 << 20;

type End = (Ipv4Addr, u16);

/// All conversations with the server, by their client and server.
#[derive(Debug, Default)]
pub struct Flows {
    /// The instance whose server it is.
    of: String,
    open: BTreeMap<(End, End), Conversation>,
}

#[derive(Debug, Default)]
struct Conversation {
    asked: Direction,
    answered: Direction,
    waiting: VecDeque<Message>,
}

/// A TCP segment with IPv4 around it.
struct Segment<'a> {
    from: End,
    to: End,
    number: u32,
    begins: bool,
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// RFC 791, RFC 9293. Anything else is `None`.
    fn of(packet: &'a [u8]) -> Option<Self> {
        let first = *packet.first()?;
        let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
        if first >> 4 != 4 || *packet.get(9)? != 6 {
            return None;
        }
        let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
        let tcp = usize::from(first & 15) * 4;
        // A packet that the kernel has yet to cut may be larger than its header can say.
        let end = if length == 0 { packet.len() } else { length.min(packet.len()) };
        let segment = packet.get(tcp..end)?;
        let port = |at: usize| Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?));
        let data = usize::from(*segment.get(12)? >> 4) * 4;
        Some(Self {
            from: (address(12)?, port(0)?),
            to: (address(16)?, port(2)?),
            number: u32::from_be_bytes(segment.get(4..8)?.try_into().ok()?),
            begins: segment.get(13)? & 2 != 0,
            payload: segment.get(data..)?,
        })
    }
}

/// One half of a connection.
#[derive(Debug, Default)]
struct Direction {
    /// The first number of the connection, and the next one that is waited for.
    numbers: Option<(u32, u32)>,
    early: Vec<(u32, Vec<u8>)>,
    bytes: Vec<u8>,
}

impl Direction {
    fn begin(&mut self, number: u32) {
        // The same beginning on another interface is no other connection.
        if self.numbers.is_none_or(|(first, _)| first != number) {
            *self = Self { numbers: Some((number, number.wrapping_add(1))), ..Self::default() };
        }
    }

    fn push(&mut self, number: u32, payload: &[u8]) {
        let Some((_, next)) = self.numbers else { return };
        if payload.is_empty() || self.bytes.len() > LARGEST {
            return;
        }
        self.early.push((number, payload.to_vec()));
        let mut expected = next;
        // Distances are counted around the end of the numbers.
        let behind = |number: u32, expected: u32| expected.wrapping_sub(number);
        while let Some(at) = self.early.iter().position(|(number, _)| behind(*number, expected) < 1 << 31) {
            let (number, payload) = self.early.swap_remove(at);
            let known = usize::try_from(behind(number, expected)).unwrap_or(usize::MAX);
            let new = payload.get(known..).unwrap_or_default();
            self.bytes.extend_from_slice(new);
            expected = expected.wrapping_add(u32::try_from(new.len()).unwrap_or_default());
        }
        if let Some((_, next)) = &mut self.numbers {
            *next = expected;
        }
    }
}

impl Flows {
    pub fn of(instance: &str) -> Self {
        Self { of: instance.to_owned(), ..Self::default() }
    }

    /// What this packet completes: requests of the server on `port` that got their answer.
    pub fn see(&mut self, packet: &[u8], port: u16) -> Vec<Event> {
        let Some(segment) = Segment::of(packet) else { return Vec::new() };
        let Segment { from, to, number, begins, payload } = segment;
        let (key, asks) = match (to.1 == port, from.1 == port) {
            (true, _) => ((from, to), true),
            (false, true) => ((to, from), false),
            (false, false) => return Vec::new(),
        };
        let conversation = self.open.entry(key).or_default();
        let direction = if asks { &mut conversation.asked } else { &mut conversation.answered };
        if begins {
            direction.begin(number);
            return Vec::new();
        }
        direction.push(number, payload);
        conversation.complete(&self.of)
    }
}

impl Conversation {
    fn complete(&mut self, of: &str) -> Vec<Event> {
        while let Some(request) = http::take(&mut self.asked.bytes) {
            self.waiting.push_back(request);
        }
        let mut events = Vec::new();
        while let Some(answer) = http::take(&mut self.answered.bytes) {
            if answer.status() == Some(100) {
                continue;
            }
            let Some(request) = self.waiting.pop_front() else { continue };
            events.extend(http::event(of, &request, &answer));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: End = (Ipv4Addr::new(172, 18, 0, 1), 40000);
    const SERVER: End = (Ipv4Addr::new(172, 18, 0, 2), 8080);

    fn packet(from: End, to: End, number: u32, begins: bool, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(40 + payload.len()).expect("small");
        let mut bytes = vec![0x45, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        bytes.extend(from.0.octets());
        bytes.extend(to.0.octets());
        bytes.extend(from.1.to_be_bytes());
        bytes.extend(to.1.to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0x50, if begins { 2 } else { 16 }, 0, 0, 0, 0, 0, 0]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn segments_are_put_in_order_and_taken_once() {
        let request = b"GET /v1/schema HTTP/1.1\r\nhost: x\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        // The numbers run over their end on the way.
        let (a, b) = (u32::MAX - 5, 7_000);
        let at = |first: u32, offset: usize| {
            first.wrapping_add(1).wrapping_add(u32::try_from(offset).expect("small"))
        };
        let packets = [
            packet(CLIENT, SERVER, a, true, b""),
            packet(CLIENT, SERVER, a, true, b""),
            packet(SERVER, CLIENT, b, true, b""),
            packet(CLIENT, SERVER, at(a, 10), false, &request[10..]),
            packet(CLIENT, SERVER, at(a, 0), false, &request[..12]),
            packet(CLIENT, SERVER, a, true, b""),
            packet(CLIENT, SERVER, at(a, 0), false, &request[..]),
            packet(SERVER, CLIENT, at(b, 0), false, &answer[..20]),
            packet(SERVER, CLIENT, at(b, 0), false, &answer[..20]),
            packet(SERVER, CLIENT, at(b, 20), false, &answer[20..]),
            packet(SERVER, CLIENT, at(b, 20), false, &answer[20..]),
        ];
        let mut flows = Flows::default();
        let events: Vec<Event> = packets.iter().flat_map(|packet| flows.see(packet, 8080)).collect();
        assert!(
            matches!(&events[..], [Event::Server { method, path, status: 200, .. }]
                if method == "GET" && path == "/v1/schema"),
            "{events:?}"
        );
    }

    #[test]
    fn others_are_not_looked_at() {
        let mut flows = Flows::default();
        for other in [&b""[..], &[0x45], &[0x60; 60], &packet((CLIENT.0, 1), (SERVER.0, 443), 1, true, b"x")]
        {
            assert!(flows.see(other, 8080).is_empty());
        }
        assert!(flows.open.is_empty());
    }
}
