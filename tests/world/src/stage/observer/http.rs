//! From bytes to requests, answers and what they count (RFC 9112; what a server's own log would have told).

use serde_json::{Map, Value, json};

use crate::ledger::Event;

/// A request or an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    start: String,
    body: Vec<u8>,
}

impl Message {
    /// Of an answer.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
    }
}

/// Takes the first message, when it is whole.
pub fn take(bytes: &mut Vec<u8>) -> Option<Message> {
    let head = find(bytes, b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let start = lines.next()?.to_owned();
    let header = |name: &str| {
        let mut named = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        named
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_ascii_lowercase())
    };
    let after = head + 4;
    let (body, end) = if header("transfer-encoding").is_some_and(|how| how.contains("chunked")) {
        chunks(bytes, after)?
    } else {
        let length: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
        (bytes.get(after..after + length)?.to_vec(), after + length)
    };
    bytes.drain(..end);
    Some(Message { start, body })
}

/// A body in chunks, and where it ends.
fn chunks(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    loop {
        let line = at + find(bytes.get(at..)?, b"\r\n")?;
        let size = String::from_utf8_lossy(&bytes[at..line]);
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let chunk = line + 2;
        if size == 0 {
            // Trailers end with an empty line.
            let trailers = find(bytes.get(line..)?, b"\r\n\r\n")?;
            return Some((body, line + trailers + 4));
        }
        body.extend_from_slice(bytes.get(chunk..chunk + size)?);
        at = chunk + size + 2;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A request that got its answer, as the server itself would report it.
pub fn event(of: &str, request: &Message, answer: &Message) -> Option<Event> {
    let mut words = request.start.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let path = target.split('?').next().unwrap_or_default();
    let details = if path == "/v1/graphql" { found(&request.body, &answer.body) } else { Value::Null };
    Some(Event::Server {
        of: of.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        status: answer.status()?,
        details,
    })
}

/// Counts and numbers of objects, by class and tenant: one object for one question, a list for several.
fn found(request: &[u8], answer: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let query = request["query"].as_str().unwrap_or_default();
    let none = Map::new();
    let of = |operation: &str| answer["data"][operation].as_object().unwrap_or(&none).clone();
    let counted = of("Aggregate").into_iter().filter_map(|(class, rows)| {
        let count = rows[0]["meta"]["count"].as_u64()?;
        Some(json!({ "class": class, "tenant": tenant(query, &class), "count": count }))
    });
    let got = of("Get").into_iter().filter_map(|(class, rows)| {
        let objects = rows.as_array()?.len();
        Some(json!({ "class": class, "tenant": tenant(query, &class), "objects": objects }))
    });
    let mut all: Vec<Value> = counted.chain(got).collect();
    if all.len() == 1 { all.remove(0) } else { Value::Array(all) }
}

/// The tenant that the query names for this class.
fn tenant(query: &str, class: &str) -> Option<String> {
    let after = query.split_once(class)?.1.trim_start();
    let arguments = after.strip_prefix('(')?.split(')').next()?;
    let value = arguments.split_once("tenant")?.1.trim_start().strip_prefix(':')?.trim_start();
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<String>();
    values.next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        let mut bytes = text.as_bytes().to_vec();
        let message = take(&mut bytes).unwrap_or_else(|| panic!("no message: {text}"));
        assert!(bytes.is_empty(), "{bytes:?} is left");
        message
    }

    #[test]
    fn messages_are_taken_whole_and_one_after_the_other() {
        let mut bytes = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab".to_vec();
        assert_eq!(take(&mut bytes), None);
        bytes.extend(b"cGET /b HTTP/1.1\r\n\r\n");
        assert_eq!(take(&mut bytes).map(|m| m.body), Some(b"abc".to_vec()));
        assert_eq!(take(&mut bytes).map(|m| m.start), Some("GET /b HTTP/1.1".to_owned()));
        assert!(bytes.is_empty());
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n3;x\r\na\":\r\n0\r\n\r\n";
        assert_eq!(message(chunked).body, b"{\"a\":");
        assert_eq!(message(chunked).status(), Some(200));
        assert_eq!(take(&mut chunked.as_bytes()[..chunked.len() - 2].to_vec()), None);
    }

    #[test]
    fn counts_are_read_with_their_tenant() {
        let rows = [
            ("{ Aggregate { Article { meta { count } } } }", "Article", json!(null)),
            (r#"{ Aggregate { Chunk(tenant:"alpha") { meta { count } } } }"#, "Chunk", json!("alpha")),
            (r#"{Aggregate{Chunk ( tenant : "a\"b" ){meta{count}}}}"#, "Chunk", json!("a\"b")),
        ];
        for (query, class, tenant) in rows {
            let body = json!({ "query": query }).to_string();
            let request = message(&format!(
                "POST /v1/graphql?x=1 HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ));
            let body =
                json!({ "data": { "Aggregate": { class: [{ "meta": { "count": 7 } }] } } }).to_string();
            let answer = message(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
            let details = json!({ "class": class, "tenant": tenant, "count": 7 });
            let expected = Event::Server {
                of: "i-new".to_owned(),
                method: "POST".to_owned(),
                path: "/v1/graphql".to_owned(),
                status: 200,
                details,
            };
            assert_eq!(event("i-new", &request, &answer), Some(expected));
        }
        let refused = json!({ "data": { "Aggregate": { "Chunk": null } }, "errors": [] }).to_string();
        assert_eq!(found(b"{}", refused.as_bytes()), json!([]));
    }
}
