//! Reading as much of an HTTP/1.1 answer as counting needs.

/// A complete answer within a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'b> {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'b [u8],
    /// Bytes of the whole answer.
    pub bytes: usize,
}

/// The answer cannot be read: not HTTP, or without a length.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable;

const STATUS_AT: std::ops::Range<usize> = 9..12;
const LENGTH: &[u8] = b"content-length:";

/// The answer at the start of `buffer`, or None while bytes are missing.
pub fn parse(buffer: &[u8]) -> Result<Option<Answer<'_>>, Unreadable> {
    let Some(head) = head_bytes(buffer) else {
        return Ok(None);
    };
    let status = number(buffer.get(STATUS_AT).ok_or(Unreadable)?).ok_or(Unreadable)?;
    let length = content_length(&buffer[..head]).ok_or(Unreadable)?;
    let bytes = head + length;
    Ok(buffer.get(head..bytes).map(|body| Answer {
        status: u16::try_from(status).unwrap_or_default(),
        body,
        bytes,
    }))
}

fn head_bytes(buffer: &[u8]) -> Option<usize> {
    let end = b"\r\n\r\n";
    buffer
        .windows(end.len())
        .position(|window| window == end)
        .map(|at| at + end.len())
}

fn content_length(head: &[u8]) -> Option<usize> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(LENGTH.len())?;
        name.eq_ignore_ascii_case(LENGTH)
            .then(|| number(value.trim_ascii()))
            .flatten()
    })
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The text of a string field of a JSON object. The api writes ids and codes without
/// escapes.
pub fn field<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 409 Conflict\r\nContent-Length: 17\r\n\r\n{\"code\":\"gone\"} \nHTTP";

    #[test]
    fn an_answer_is_read_only_when_it_is_whole() {
        let answer = parse(WHOLE).expect("readable").expect("whole");
        assert_eq!(
            (answer.status, answer.body.len(), answer.bytes),
            (409, 17, WHOLE.len() - 4)
        );
        assert_eq!(field(answer.body, "code"), Some("gone"));
        for short in 0..answer.bytes {
            assert_eq!(parse(&WHOLE[..short]), Ok(None), "{short} bytes");
        }
    }

    #[test]
    fn an_answer_without_a_length_is_refused() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Unreadable));
        assert_eq!(parse(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"), Err(Unreadable));
    }
}
